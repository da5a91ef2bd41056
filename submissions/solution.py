"""The solution of a competition: the true values, read from whatever columns there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.faces import SOURCES
from kfkd.pipelines.csv_fields import refuse_repeats
from kfkd.skeletons import KAGGLE_15
from kfkd.submissions import reading

_USAGES = ("public", "private", "ignored")


@dataclass(frozen=True)
class Solution:
    """The true values of a competition, and what is known about each; None where nothing is.

    Args:
        row_id: int64 (m,).
        location: float64 (m,) in pixels, NaN = not known.
        usage: str (m,), "public", "private" or "ignored".
        image: int64 (m,), Kaggle's ImageId.
        column: int64 (m,), index into `KAGGLE_15.columns`.
        source: str (m,), "full" or "four_point".
    """

    row_id: np.ndarray
    location: np.ndarray
    usage: np.ndarray | None
    image: np.ndarray | None = None
    column: np.ndarray | None = None
    source: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray) -> Solution:
        known = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: value[rows] for name, value in known.items()})


def read_solution(path: str | Path, id_table: str | Path | None = None) -> Solution:
    """Reads a solution, in any order of rows.

    Args:
        path: CSV with RowId and Location and, where known, Usage, ImageId, FeatureName and Source,
            or a zip of one.
        id_table: IdLookupTable.csv or its folder, asked where ImageId or FeatureName is missing.

    Returns:
        Its rows in the order of the file.

    Raises:
        DataError: naming file, row and column at fault.

    Example:
        >>> read_solution("solution.csv").location[:2]  # doctest: +SKIP
        array([66.03, 39.  ])
    """
    columns = reading.read_columns(path, reading.HEADER)
    row_id = reading.whole_numbers(columns["RowId"], path, "RowId")
    refuse_repeats(row_id, "RowId", path)
    usage = _words(columns, "Usage", _USAGES, path)
    location = reading.numbers(columns["Location"], path, "Location", missing=True)
    image, column, source = _layout(path, columns, row_id, id_table)
    said = _words(columns, "Source", SOURCES, path)
    return Solution(row_id, location, usage, image, column, source if said is None else said)


def _layout(
    path: str | Path,
    columns: Mapping[str, Sequence[str]],
    row_id: np.ndarray,
    id_table: str | Path | None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Image, feature index and source by request of each row; None for what is not known."""
    # Imported here because the reader is not needed for the plain RMSE of two files.
    from kfkd.pipelines.kaggle import IdTable, read_id_table

    image = column = None
    if "ImageId" in columns:
        image = reading.whole_numbers(columns["ImageId"], path, "ImageId")
    if (names := _words(columns, "FeatureName", KAGGLE_15.columns, path)) is not None:
        index = {name: i for i, name in enumerate(KAGGLE_15.columns)}
        column = np.array([index[name] for name in names.tolist()], np.int64)
    if image is not None and column is not None:
        return image, column, IdTable(row_id, image, column, str(path)).source(image)
    if id_table is None:
        return image, column, None
    table = read_id_table(id_table)
    reading.refuse_unmatched(row_id, row_id[:0], table.row_id, path)
    order = np.argsort(table.row_id)
    rows = order[np.searchsorted(table.row_id[order], row_id)]
    images, features = table.image_id[rows], table.column[rows]
    # The table, not the solution, says what is asked of an image: a solution may hold a part.
    return images, features, table.source(images)


def _words(
    columns: Mapping[str, Sequence[str]], name: str, known: Sequence[str], path: str | Path
) -> np.ndarray | None:
    """A column of words from `known` in lower case, None where the file has no such column."""
    if name not in columns:
        return None
    words = [text.strip().lower() for text in columns[name]]
    for row, word in enumerate(words, 1):
        if word not in known:
            wanted = f"wants {' or '.join(known[:3])}. Received: {columns[name][row - 1]!r:.80}"
            raise DataError(wanted, file=path, row=row, column=name)
    return np.array(words)
