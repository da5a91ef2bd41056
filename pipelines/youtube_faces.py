"""YouTube Faces as Udacity hands it out: frames of any size and a CSV of 68 points for each part.

Points are whole numbers counted from 0. Frames with a fourth channel are read without it; where it
is transparent they become white.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_rows import Row, photo_set
from kfkd.pipelines.text_files import csv_rows, find_files, numbers
from kfkd.skeletons import IBUG_68

TABLES = {"train": "training_frames_keypoints.csv", "test": "test_frames_keypoints.csv"}
_FOLDERS = {"train": "training", "test": "test"}
_COLUMNS = tuple(str(i) for i in range(2 * len(IBUG_68)))
_FRAME = re.compile(r"(.+)_\d+")


def read_youtube_faces(path: str | Path, part: str = "train", quiet: bool = False) -> PhotoSet:
    """Reads Udacity's frames of YouTube Faces.

    Args:
        path: the folder with the two CSV files and the folders training and test.
        part: "train" or "test"; every person of the test frames is in the training frames, too.
        quiet: no progress.

    Returns:
        Whole frames with 68 points; one person's share a group, told by the frame's name.

    Raises:
        DataError: when a row is not as it should be, or its frame is absent.

    Example:
        >>> len(read_youtube_faces("youtube-faces/data"))  # doctest: +SKIP
        3462
    """
    table = TABLES[part]
    file = find_files(path, table, f"a folder with {table} and {_FOLDERS[part]}/")[0]
    folder = file.parent / _FOLDERS[part]
    rows = []
    for row, (name, *fields) in csv_rows(file):
        if not row:
            _check_header(fields, file)
            continue
        if not name:
            raise DataError("names no frame", file=file, row=row)
        points = numbers(fields, file=file, row=row, columns=_COLUMNS)
        frame = folder / name
        whole = _FRAME.fullmatch(frame.stem)
        person = whole[1] if whole else frame.stem
        rows.append(Row(frame, np.array(points).reshape(-1, 2), person=person))
    return photo_set(
        rows, IBUG_68, "youtube_faces", file.parent, lambda index: (file, index + 1), quiet=quiet
    )


def _check_header(names: list[str], file: Path) -> None:
    if len(names) != len(_COLUMNS):
        wanted = f"the frame's name and {len(_COLUMNS)} coordinates"
        raise DataError(f"received {len(names) + 1} columns, wanted {wanted}", file=file)
    for name, wanted in zip(names, _COLUMNS, strict=True):
        if name != wanted:
            message = f"wanted column {wanted} here: the points stand in another order"
            raise DataError(message, file=file, column=name)
