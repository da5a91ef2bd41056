"""Kaggle's files, checked and read.

Kaggle hands out `training.csv` and `test.csv` in three wrappings: plain, each in a zip of its own,
or those zips inside one `facial-keypoints-detection.zip`. All are read where they lie.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.faces import image_groups
from kfkd.pipelines.archives import Member, find_member, wanted_files
from kfkd.pipelines.csv_fields import convert, label, refuse_repeats, split_fields, whole
from kfkd.pipelines.csv_pixels import SIDE, read_pixel_csv
from kfkd.skeletons import KAGGLE_15

TABLES = {"train": "training.csv", "test": "test.csv"}
ID_TABLE = "IdLookupTable.csv"

_FEATURES = {name.encode(): index for index, name in enumerate(KAGGLE_15.columns)}
_DENSE_VALUES = 2 * len(KAGGLE_15.subset("dense"))


def read_arrays(
    member: Member, part: str, on_share: Callable[[float], None] = lambda share: None
) -> dict[str, np.ndarray]:
    """Reads training.csv or test.csv as arrays that can be kept in the cache.

    Args:
        member: the file.
        part: "train" or "test".
        on_share: called with the share that is read so far, 0 to 1.

    Returns:
        images uint8 (n, 96, 96, 1), keypoints float32 (n, 15, 2) in pixels with NaN = not
        labelled, ids int64 (n,), group uint64 (n,), notes str (m,).

    Raises:
        DataError: when anything in the file is not as it should be.
    """
    train = part == "train"
    numbers = dict.fromkeys(KAGGLE_15.columns, label) if train else {"ImageId": whole}
    dtype = np.float64 if train else np.int64
    with member.open() as (stream, size):
        values, images = read_pixel_csv(
            stream, numbers, dtype, file=member.name, on_bytes=lambda done: on_share(done / size)
        )
    n = len(images)
    if train:
        keypoints = values.astype(np.float32).reshape(n, -1, 2)
        ids = np.arange(1, n + 1, dtype=np.int64)
    else:
        keypoints = np.full((n, len(KAGGLE_15), 2), np.nan, np.float32)
        ids = values[:, 0]
        refuse_repeats(ids, "ImageId", member.name)
    notes = np.array(_outside(keypoints), dtype=np.str_)
    group = image_groups(images)
    return {"images": images, "keypoints": keypoints, "ids": ids, "group": group, "notes": notes}


@dataclass(frozen=True)
class IdTable:
    """What Kaggle asks for: one coordinate of one test image a row.

    Args:
        row_id: int64 (m,).
        image_id: int64 (m,).
        column: int64 (m,), index into `KAGGLE_15.columns`.
        file: where it was read from.
    """

    row_id: np.ndarray
    image_id: np.ndarray
    column: np.ndarray
    file: str = ""

    def __len__(self) -> int:
        return len(self.row_id)

    def check_images(self, ids: Iterable[int] | np.ndarray) -> None:
        """Refuses a table that asks for an image which is not there.

        Args:
            ids: the ImageIds there are.

        Raises:
            DataError: naming the first row that asks for another one.

        Example:
            >>> table = IdTable(np.array([1]), np.array([7]), np.array([0]), "ids.csv")
            >>> table.check_images([7, 8])
        """
        known = np.isin(self.image_id, np.fromiter(ids, np.int64))
        if not known.all():
            row = int(np.argmin(known))
            message = f"image {self.image_id[row]} is not in the test set"
            raise DataError(message, file=self.file, row=row + 1, column="ImageId")

    def source(self, ids: np.ndarray) -> np.ndarray:
        """Who must have labelled each image, judged by what the table asks for.

        Args:
            ids: int64 (n,) ImageIds.

        Returns:
            str (n,): "full" where more than the eight dense coordinates are asked, or any other
            than those; "four_point" elsewhere.

        Example:
            >>> table = IdTable(np.array([1]), np.array([7]), np.array([5]))
            >>> table.source(np.array([7, 8])).tolist()
            ['full', 'four_point']
        """
        asked, count = np.unique(self.image_id, return_counts=True)
        dense = np.isin(self.column // 2, KAGGLE_15.subset("dense"))
        full = np.union1d(asked[count > _DENSE_VALUES], self.image_id[~dense])
        return np.where(np.isin(ids, full), "full", "four_point")


def read_id_table(path: str | Path) -> IdTable:
    """Reads IdLookupTable.csv.

    Args:
        path: the file, Kaggle's single zip, or a folder with either.

    Returns:
        The table, rows in the order of the file.

    Raises:
        DataError: when it is absent, or a row is not as it should be.

    Example:
        >>> len(read_id_table("data"))  # doctest: +SKIP
        27124
    """
    member = find_member(path, ID_TABLE)
    if member is None:
        raise DataError(f"holds no {ID_TABLE}, wanted {wanted_files(ID_TABLE)}", file=path)
    return read_id_member(member)


def read_id_member(member: Member) -> IdTable:
    """Reads an id table that `find_member` or `beside` found; columns may stand in any order.

    Args:
        member: the file.

    Returns:
        The table, rows in the order of the file.

    Raises:
        DataError: when a row is not as it should be.
    """
    numbers = {"RowId": whole, "ImageId": whole, "FeatureName": _feature}
    with member.open() as (stream, _):
        content = stream.read().removeprefix(codecs.BOM_UTF8)
    header, *lines = [split_fields(line) for line in content.splitlines()] or [[]]
    names = [name.decode("utf-8", "replace").strip() for name in header]
    if missing := [name for name in numbers if name not in names]:
        message = f"the header lacks it. Received: {', '.join(names)[:200] or 'nothing'}"
        raise DataError(message, file=member.name, column=missing[0])
    places = [names.index(name) for name in numbers]
    read = []
    for row, fields in enumerate((fields for fields in lines if any(fields)), start=1):
        picked = [fields[i] if i < len(fields) else b"" for i in places]
        read.append(convert(picked, numbers, file=member.name, row=row))
    if not read:
        raise DataError("received a header without rows, wanted at least one", file=member.name)
    row_id, image_id, column = np.array(read, np.int64).T.copy()
    refuse_repeats(row_id, "RowId", member.name)
    return IdTable(row_id, image_id, column, member.name)


def _feature(text: bytes) -> int:
    if text not in _FEATURES:
        raise ValueError(f"one of Kaggle's {len(_FEATURES)} features, such as nose_tip_x")
    return _FEATURES[text]


def _outside(keypoints: np.ndarray) -> list[str]:
    """One sentence about the labels beyond the middle of the outermost pixels, if there are any."""
    places = np.argwhere((keypoints < 0) | (keypoints > SIDE - 1))
    if not len(places):
        return []
    row, point, axis = places[0]
    return [
        f"{len(places)} of the labels lie outside the image (0 to {SIDE - 1}), the first at "
        f"row {row + 1}, column {KAGGLE_15.columns[2 * point + axis]}: "
        f"{keypoints[row, point, axis]:.2f}"
    ]
