"""A user's own photos: a folder with one CSV that names photos and gives points by name.

Columns: `file`, the photo's path from the CSV's folder; `NAME_x` and `NAME_y` for every keypoint,
in pixels counted from 0, empty = not labelled; where faces are to be cropped `box_x`, `box_y`,
`box_w`, `box_h`; `person`, where one is in several photos. Others are left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfkd.errors import DataError
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_rows import WHOLE, Row, photo_set
from kfkd.pipelines.text_files import csv_rows, find_files, numbers
from kfkd.skeletons import SKELETONS, Skeleton, own_skeleton

FILE_COLUMNS = ("file", "filename", "image", "path")
_BOX = ("box_x", "box_y", "box_w", "box_h")
_WANTED = f"a column {FILE_COLUMNS[0]!r} and NAME_x, NAME_y for every keypoint"


class _Layout(NamedTuple):
    """Which fields of a row mean what."""

    names: list[str]
    file: int
    points: list[int]
    box: list[int]
    person: int | None
    skeleton: Skeleton
    ignored: list[str]


def read_photo_folder(path: str | Path, part: str = "train", quiet: bool = False) -> PhotoSet:
    """Reads a user's own photos and points.

    Args:
        path: the CSV file, or a folder with it; where the folder has several, train.csv or
            test.csv.
        part: "train" or "test", where there are both files.
        quiet: no progress.

    Returns:
        Faces with the CSV's keypoints, in its order, or in a known skeleton's where the names are
        all of one; whole photos, or boxes where it has them.

    Raises:
        DataError: when a column or field is not as it should be, or a photo is absent.

    Example:
        >>> read_photo_folder("cats").skeleton.points  # doctest: +SKIP
        ('left_ear', 'right_ear', 'nose')
    """
    file = labels_file(Path(path).expanduser(), part)
    rows, layout = [], None
    for row, fields in csv_rows(file):
        if layout is None:
            layout = _layout(fields, file)
        else:
            rows.append(_row(fields, layout, file, row))
    assert layout is not None  # csv_rows refuses a file without
    notes = [f"{', '.join(layout.ignored):.500}: no keypoint, left out"] if layout.ignored else []
    return photo_set(
        rows,
        layout.skeleton,
        "folder",
        file,
        lambda index: (file, index + 1),
        notes=notes,
        quiet=quiet,
    )


def labels_file(path: Path, part: str) -> Path:
    """The CSV file of a folder.

    Raises:
        DataError: when there is none, or several and none is called after the part.
    """
    if path.is_file():
        return path
    found = find_files(path, "*.csv", f"a CSV file with {_WANTED}")
    named = next((file for file in found if file.name == f"{part}.csv"), None)
    if len(found) > 1 and named is None:
        names = ", ".join(file.name for file in found[:5])
        raise DataError(f"holds {names}: name one of them, or call it {part}.csv", file=path)
    return named or found[0]


def names_photos(file: Path) -> bool:
    """Whether a CSV file's header has a column for photos, as Kaggle's files have not.

    Raises:
        OSError: when the file cannot be read.
    """
    with file.open("rb") as stream:
        line = stream.readline(1 << 16).decode("utf-8-sig", "replace")
    names = (name.strip().strip('"') for name in line.split(","))
    return bool(set(names) & set(FILE_COLUMNS))


def _layout(names: list[str], file: Path) -> _Layout:
    if len(names) == 1 and ";" in names[0]:
        raise DataError("received fields with ; between them, wanted commas", file=file)
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError("the column is there twice", file=file, column=name)
    photo = next((name for name in FILE_COLUMNS if name in names), None)
    if photo is None:
        received = ", ".join(names)[:200]
        raise DataError(f"the header lacks it. Received: {received}", file=file, column="file")
    box = [name for name in _BOX if name in names]
    if box and len(box) < len(_BOX):
        raise DataError(f"a box wants {', '.join(_BOX)}", file=file, column=box[0])
    columns = [n for n in names if n.endswith(("_x", "_y")) and n not in _BOX and n != photo]
    skeleton = _skeleton(columns, file)
    used = {photo, "person", *box, *columns}
    return _Layout(
        names=names,
        file=names.index(photo),
        points=[names.index(column) for column in skeleton.columns],
        box=[names.index(name) for name in box],
        person=names.index("person") if "person" in names else None,
        skeleton=skeleton,
        ignored=[name for name in names if name not in used],
    )


def _skeleton(columns: Sequence[str], file: Path) -> Skeleton:
    """The skeleton of the columns; x must come before y, or else the two may well be exchanged."""
    if not columns:
        raise DataError(f"the header names no keypoint, wanted {_WANTED}", file=file)
    for place, column in enumerate(columns):
        other = column[:-1] + ("y" if column[-1] == "x" else "x")
        if other not in columns:
            raise DataError(f"the header lacks {other:.80}", file=file, column=column)
        if column[-1] == "y" and other not in columns[:place]:
            message = f"it stands before {other:.80}, wanted x first"
            raise DataError(message, file=file, column=column)
    points = [column[:-2] for column in columns if column[-1] == "x"]
    known = (s for s in SKELETONS.values() if sorted(s.points) == sorted(points))
    return next(known, None) or own_skeleton(points)


def _row(fields: list[str], layout: _Layout, file: Path, row: int) -> Row:
    if not fields[layout.file]:
        raise DataError("names no photo", file=file, row=row, column=layout.names[layout.file])
    columns = layout.skeleton.columns
    # "nan" is what pandas writes for an empty field when it is asked to.
    texts = ["" if fields[i].lower() in ("nan", "na") else fields[i] for i in layout.points]
    for place in range(0, len(texts), 2):
        if bool(texts[place]) != bool(texts[place + 1]):
            lacking = columns[place if not texts[place] else place + 1]
            message = "is empty, wanted both coordinates of a keypoint or none"
            raise DataError(message, file=file, row=row, column=lacking)
    given = [i for i, text in enumerate(texts) if text]
    points = np.full(len(columns), np.nan)
    points[given] = numbers(
        [texts[i] for i in given], file=file, row=row, columns=[columns[i] for i in given]
    )
    box = WHOLE
    if layout.box:
        x, y, w, h = numbers([fields[i] for i in layout.box], file=file, row=row, columns=_BOX)
        box = (x, y, w, h)
    person = fields[layout.person] if layout.person is not None else ""
    return Row(file.parent / fields[layout.file], points.reshape(-1, 2), box, person)
