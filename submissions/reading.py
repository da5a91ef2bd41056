"""Submissions and solutions, read and checked column by column."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.pipelines.csv_fields import refuse_repeats
from kfkd.storage.safe_reading import read_bytes
from kfkd.storage.unpacking import BROKEN, refuse_bomb

HEADER = ("RowId", "Location")
"""Columns of a submission."""


def read_submission(
    path: str | Path, columns: Mapping[str, Sequence[str]] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a submission, in any order of rows.

    Args:
        path: CSV with RowId and Location, or a zip of one.
        columns: its columns where `read_columns` has read them already.

    Returns:
        RowId int64 (m,), each once, and Location float64 (m,) in pixels, finite.

    Raises:
        DataError: naming file, row and column at fault.

    Example:
        >>> row_id, location = read_submission("submissions/mine.csv")  # doctest: +SKIP
    """
    columns = read_columns(path, HEADER) if columns is None else columns
    row_id = whole_numbers(columns["RowId"], path, "RowId")
    refuse_repeats(row_id, "RowId", path)
    return row_id, numbers(columns["Location"], path, "Location")


def read_columns(path: str | Path, wanted: Sequence[str]) -> dict[str, list[str]]:
    """All columns of a CSV file, or of a zip of one, as text.

    Args:
        path: the file.
        wanted: columns it must have.

    Returns:
        Texts of each column by its name, in the file's order; blank lines are left out.

    Raises:
        DataError: when the file is absent, is no CSV, lacks a column, or a row has not one field
            for each column.

    Example:
        >>> read_columns("submissions/mine.csv", ["RowId"])["RowId"][:2]  # doctest: +SKIP
        ['1', '2']
    """
    try:
        lines = [row for row in csv.reader(StringIO(_text(path), newline="")) if row]
    except csv.Error as error:
        raise DataError(f"is not CSV: {error}", file=path) from error
    header, *rows = lines or [[]]
    header = [name.strip() for name in header]
    for name in (*wanted, *header):
        if header.count(name) != 1:
            received = ",".join(header)[:200] or "an empty file"
            message = f"wants this column once. Received: {received}"
            raise DataError(message, file=path, column=name)
    for index, row in enumerate(rows, 1):
        if len(row) != len(header):
            message = f"wants {len(header)} fields. Received: {len(row)}"
            raise DataError(message, file=path, row=index)
    fields = zip(*rows, strict=True) if rows else [()] * len(header)
    return {name: list(texts) for name, texts in zip(header, fields, strict=True)}


def whole_numbers(texts: Sequence[str], file: str | Path, column: str) -> np.ndarray:
    """int64 of texts; DataError naming file, row and column for one that is no whole number."""
    digits = re.compile(r"\s*[0-9]{1,18}\s*")
    for row, text in enumerate(texts, 1):
        if not digits.fullmatch(text):
            wanted = f"wants a whole number. Received: {text!r:.80}"
            raise DataError(wanted, file=file, row=row, column=column)
    return np.array([int(text) for text in texts], np.int64)


def numbers(
    texts: Sequence[str], file: str | Path, column: str, missing: bool = False
) -> np.ndarray:
    """float64 of texts; DataError naming file, row and column for one that is not finite.

    With `missing` an empty text and "nan" are NaN instead of an error.
    """
    values = np.array([_number(text) for text in texts], np.float64)
    bad = np.flatnonzero(np.isinf(values) if missing else ~np.isfinite(values))
    if bad.size:
        wanted = f"wants a finite number. Received: {texts[bad[0]]!r:.80}"
        raise DataError(wanted, file=file, row=int(bad[0]) + 1, column=column)
    return values


def refuse_unmatched(
    row_id: np.ndarray, wanted: np.ndarray, allowed: np.ndarray, file: str | Path
) -> None:
    """DataError where the RowIds of `file` lack one of `wanted` or hold one not in `allowed`."""
    lacking = wanted[~np.isin(wanted, row_id)]
    if lacking.size:
        message = f"lacks {lacking.size} of the {wanted.size} RowIds asked for, first {lacking[0]}"
        raise DataError(message, file=file, column="RowId")
    extra = np.flatnonzero(~np.isin(row_id, allowed))
    if extra.size:
        message = f"RowId {row_id[extra[0]]} is not asked for; {extra.size} such rows in all"
        raise DataError(message, file=file, row=int(extra[0]) + 1, column="RowId")


def _number(text: str) -> float:
    """NaN for an empty text, infinity for one that is no number."""
    try:
        return float("inf" if "_" in text else text.strip() or "nan")
    except ValueError:
        return float("inf")


def _text(path: str | Path) -> str:
    """The text of a file, or of the only CSV file in a zip."""
    content = read_bytes(path)
    try:
        if not zipfile.is_zipfile(BytesIO(content)):
            return content.decode("utf-8-sig")
        with zipfile.ZipFile(BytesIO(content)) as archive:
            refuse_bomb(archive, len(content))
            names = [n for n in archive.namelist() if n.lower().endswith(".csv")]
            names = [n for n in names if not n.startswith("__MACOSX/")]
            if len(names) != 1:
                raise DataError(f"wants one CSV in the zip. Received: {len(names)}", file=path)
            return archive.read(names[0]).decode("utf-8-sig")
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(f"is not a CSV, nor a readable zip of one: {error}", file=path) from error
