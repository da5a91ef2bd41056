"""Suspect labels: which of them a training leaves out, from an audit's table."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.faces import FaceSet
from kfkd.storage.safe_reading import read_bytes

COLUMNS = ("row", "drop", "data")
"""Columns of an audit's table that say what to leave out: id, "all" or keypoints, fingerprint."""

ALL = "all"
_ROW = re.compile(r"[0-9]{1,18}")
_TEXT = re.compile(rf"{_ROW.pattern}(:[\w,]+)?( {_ROW.pattern}(:[\w,]+)?)*")


@dataclass(frozen=True)
class Suspects:
    """Labels that are not to be learned.

    Args:
        labels: keypoint names by row (id); () = all of the row's.
        data: fingerprint of the faces they were found in, "" = not known.
        file: where they were read from.
    """

    labels: Mapping[int, tuple[str, ...]]
    data: str = ""
    file: str = ""

    def __str__(self) -> str:
        """One line that `suspects_from` takes: "1862 1908:nose_tip,mouth_left_corner"."""
        rows = sorted(self.labels.items())
        return " ".join(f"{row}:{','.join(names)}" if names else str(row) for row, names in rows)

    def check(self, faces: FaceSet) -> None:
        """Refuses faces other than those that were looked at.

        Raises:
            DataError: when fingerprint, rows or keypoints are others.
        """
        if self.data and self.data != faces.fingerprint:
            raise DataError(
                f"lists rows of other data (fingerprint {self.data}). "
                f"Received: {faces.fingerprint}",
                file=self.file or None,
            )
        known = {*faces.skeleton.points}
        if lacking := sorted({*self.labels} - {*faces.ids.tolist()}):
            raise DataError(f"lists row {lacking[0]}, which the data lacks", file=self.file or None)
        for row, names in self.labels.items():
            if other := [name for name in names if name not in known]:
                wanted = f"a keypoint of {faces.skeleton.name}. Received: {other[0]!r}"
                raise DataError(f"row {row} wants {wanted}", file=self.file or None)

    def left_out(self, faces: FaceSet) -> FaceSet:
        """The same faces without these labels; rows that are not among them do not matter."""
        keypoints = faces.keypoints.copy()
        index = {name: i for i, name in enumerate(faces.skeleton.points)}
        for row in np.flatnonzero(np.isin(faces.ids, list(self.labels))).tolist():
            names = self.labels[int(faces.ids[row])]
            keypoints[row, [index[n] for n in names] if names else slice(None)] = np.nan
        return replace(faces, keypoints=keypoints)


def is_line(text: str) -> bool:
    """Whether a text is such a line as `str(suspects)` gives, and no file's name."""
    return _TEXT.fullmatch(text) is not None


def suspects_from(asked: str | Path) -> Suspects:
    """What a training is to leave out.

    Args:
        asked: an audit.csv of `kfkd.audit`, maybe with fewer rows than it had, or a line of text
            as `str(suspects)` gives.

    Raises:
        DataError: when the file is absent, or is no audit's table; with its row and column.

    Example:
        >>> suspects_from("1862 1908:nose_tip").labels
        {1862: (), 1908: ('nose_tip',)}
    """
    if isinstance(asked, str) and is_line(asked):
        parts = (part.partition(":")[::2] for part in asked.split())
        return Suspects(
            {int(row): tuple(names.split(",")) if names else () for row, names in parts}
        )
    path = Path(asked).expanduser()
    try:
        return _read(csv.DictReader(StringIO(read_bytes(path).decode(), newline="")), path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not CSV: {error}", file=path) from error


def _read(rows: csv.DictReader[str], path: Path) -> Suspects:
    if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
        raise DataError(f"is no table of kfkd audit: no column {missing[0]}", file=path)
    labels: dict[int, tuple[str, ...]] = {}
    data: set[str] = set()
    for number, row in enumerate(rows, 1):
        if not _ROW.fullmatch(row["row"] or "") or row["drop"] is None or row["data"] is None:
            wanted = f"wants a row number, what to drop, and the data. Received: {row['row']!r}"
            raise DataError(wanted, file=path, row=number)
        data.add(row["data"])
        if row["drop"]:
            labels[int(row["row"])] = () if row["drop"] == ALL else tuple(row["drop"].split())
    if len(data) > 1:
        raise DataError(f"is of several data sets: {', '.join(sorted(data))}", file=path)
    return Suspects(labels, "".join(data), str(path))
