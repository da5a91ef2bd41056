"""Lists of rows by number, also by their numbers in another file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.storage.safe_reading import read_bytes
from kfkd.submissions.reading import read_columns, whole_numbers

MAP_COLUMNS = ("row", "kaggle_row")
"""Columns of a table of row numbers: here, and in the file where they are from; both from 1."""


class Named(NamedTuple):
    """Rows that someone named.

    Args:
        ids: those that are in the data, by its own numbers, ascending.
        listed: how many were named.
    """

    ids: tuple[int, ...]
    listed: int


def named_rows(
    asked: Iterable[int | str | Path], known: np.ndarray, numbers: str | Path | None = None
) -> Named:
    """Rows of the data at hand.

    Args:
        asked: row numbers from 1, and files with such numbers between spaces, commas or line ends.
        known: int (n,), ids of the data's rows.
        numbers: where `asked` are numbers of another file: a CSV with the columns row (in the data
            at hand) and kaggle_row (there). Kaggle's training.csv has 7,049 rows; a copy with fewer
            has other numbers, and rows that it lacks are left out.

    Returns:
        The rows' ids, and how many were named.

    Raises:
        KfkdError: when a number is none; without `numbers` also when the data lacks a row.
        DataError: when a file cannot be read.

    Example:
        >>> named_rows([3, "1, 2"], np.arange(1, 5))
        Named(ids=(1, 2, 3), listed=3)
    """
    wanted = list(dict.fromkeys(n for one in asked for n in _numbers(one)))
    here = {int(row) for row in known}
    if numbers is None:
        if lacking := [n for n in wanted if n not in here]:
            raise KfkdError(
                f"the data has no row {lacking[0]}; rows that are numbered as in another file want "
                "its table of row numbers (--row-numbers CSV)"
            )
        return Named(tuple(sorted(wanted)), len(wanted))
    columns = read_columns(numbers, MAP_COLUMNS)
    own, other = (whole_numbers(columns[name], numbers, name).tolist() for name in MAP_COLUMNS)
    of = dict(zip(other, own, strict=True))
    return Named(tuple(sorted(of[n] for n in wanted if of.get(n) in here)), len(wanted))


def _numbers(one: int | str | Path) -> list[int]:
    if isinstance(one, int | np.integer) and not isinstance(one, bool):
        return [int(one)]
    if isinstance(one, str) and re.fullmatch(r"[\d\s,]+", one):
        return _whole(one, one)
    if not isinstance(one, str | Path):
        raise KfkdError(f"rows want numbers from 1, or files of them. Received: {one!r}")
    try:
        text = read_bytes(Path(one).expanduser()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"holds no row numbers: {error}", file=one) from error
    return _whole(text, one)


def _whole(text: str, file: str | Path) -> list[int]:
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words or not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
        raise DataError("wants row numbers between spaces, commas or line ends", file=file)
    return [int(word) for word in words]
