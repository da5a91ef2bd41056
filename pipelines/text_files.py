"""Text files of data sets: finding them, reading their lines, fields and numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from kfkd.errors import DataError
from kfkd.storage.safe_reading import read_bytes


def find_files(path: str | Path, pattern: str, what: str) -> list[Path]:
    """Files of a data set: in a folder, else in the folders inside it, as archives unpack to.

    Args:
        path: the folder, or such a file itself.
        pattern: such as "*.asf".
        what: what a message asks for where there is none.

    Returns:
        At least one file, sorted by name.

    Raises:
        DataError: when there is none, or the folder cannot be read.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.match(pattern):
        return [path]
    try:
        path.stat()
        found = sorted(path.glob(pattern)) or sorted(path.glob(f"*/{pattern}"))
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}; wanted {what}"
        raise DataError(message, file=path) from error
    if not found:
        raise DataError(f"holds no {pattern}, wanted {what}", file=path)
    return found


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in Latin-1 where it is not.

    Raises:
        DataError: when it cannot be read, or is no text.
    """
    content = read_bytes(path)
    if b"\0" in content:
        raise DataError("is not a text file", file=path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV file whose fields are as many as its header's; empty lines are passed over.

    Args:
        path: the file, comma-separated.

    Yields:
        (0, the header), then (1-based row, its fields).

    Raises:
        DataError: when it is empty, or a row has other numbers of fields.
    """
    # A field as long as Python allows by default is more than any file name or number.
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    width, row = 0, 0
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            width = width or len(fields)
            if len(fields) != width:
                message = f"received {len(fields)} fields, wanted {width} as in the header"
                raise DataError(message, file=path, row=row)
            yield row, [field.strip() for field in fields]
            row += 1
    except csv.Error as error:
        raise DataError(f"is not a CSV file: {error}", file=path, row=row) from error
    if row < 2:
        raise DataError("holds no rows, wanted a header and at least one", file=path)


def number(text: str | None) -> float:
    """A finite number.

    Raises:
        ValueError: saying what was received, and that a number was wanted.
    """
    try:
        value = math.nan if text is None or "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e9:
        raise ValueError(f"received {text if text is None else text[:30]!r}, wanted a number")
    return value


def numbers(texts: Sequence[str], *, file: Path, row: int, columns: Sequence[str]) -> list[float]:
    """Finite numbers of one row.

    Raises:
        DataError: naming the column whose text is not a number.
    """
    values = []
    for text, column in zip(texts, columns, strict=True):
        try:
            values.append(number(text))
        except ValueError as error:
            raise DataError(str(error), file=file, row=row, column=column) from None
    return values
