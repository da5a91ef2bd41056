"""The IMM Face Database: 40 persons in 6 poses, 58 points in `.asf` files beside the photos.

Points are relative to the photo's width and height. Multiplied out they are whole numbers, taken
as pixels counted from 0, as image programs count.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_facts import photo_facts
from kfkd.pipelines.photo_rows import Row, photo_set
from kfkd.pipelines.photos import SUFFIXES
from kfkd.pipelines.text_files import find_files, numbers, read_text
from kfkd.skeletons import IMM_58

_FIELDS = ("path#", "type", "x rel.", "y rel.", "point#", "connects from", "connects to")
_PATHS = np.repeat(np.arange(7), (13, 8, 8, 5, 5, 8, 11))
_NAME = re.compile(r"(\d+)-\d")
_LONGEST = 200  # of a file's name


def read_imm(path: str | Path, part: str = "train", quiet: bool = False) -> PhotoSet:
    """Reads the IMM Face Database.

    Args:
        path: the folder with its .asf files and photos.
        part: the database has one part: both give all.
        quiet: no progress.

    Returns:
        Whole photos with 58 points; one person's share a group.

    Raises:
        DataError: when a file is not as it should be, named with the point at fault.

    Example:
        >>> len(read_imm("imm_face_db"))  # doctest: +SKIP
        240
    """
    files = find_files(path, "*.asf", "the folder of the IMM Face Database")
    read = [_read_asf(file) for file in files]
    photos = [photo for photo, _ in read]
    facts = photo_facts(photos, lambda index: (files[index], None), quiet)
    rows = [
        Row(photo, relative * size, person=_person(file))
        for file, (photo, relative), size in zip(files, read, facts.sizes, strict=True)
    ]
    place = Path(path).expanduser()
    return photo_set(
        rows, IMM_58, "imm", place, lambda index: (files[index], None), facts=facts, quiet=quiet
    )


def _person(file: Path) -> str:
    name = _NAME.match(file.name)
    if name is None:
        raise DataError("wanted a name with person and pose, such as 01-1m.asf", file=file)
    return name[1]


def _read_asf(file: Path) -> tuple[Path, np.ndarray]:
    """The photo of a shape file and its points, (58, 2) relative to width and height."""
    lines = [line.split() for line in read_text(file).splitlines()]
    lines = [fields for fields in lines if fields and not fields[0].startswith("#")]
    count, *rest = lines or [["nothing"]]
    points, host = rest[: len(IMM_58)], rest[len(IMM_58) :]
    told = [fields for fields in rest if len(fields) > 1]
    if count != [str(len(IMM_58))] or len(told) != len(IMM_58):
        message = f"received {' '.join(count)} points in {len(told)} lines, wanted {len(IMM_58)}"
        raise DataError(message, file=file)
    values = [_point(fields, file, row) for row, fields in enumerate(points, start=1)]
    return _photo(file, host), np.array(values)


def _point(fields: list[str], file: Path, row: int) -> list[float]:
    if len(fields) < len(_FIELDS):
        message = f"received {len(fields)} fields, wanted {', '.join(_FIELDS)}"
        raise DataError(message, file=file, row=row)
    contour, _, x, y, point, *_ = numbers(fields[:7], file=file, row=row, columns=_FIELDS)
    wanted = _PATHS[row - 1], row - 1
    if (contour, point) != wanted:
        raise DataError(
            f"received point {point:g} of path {contour:g}, wanted point {wanted[1]} of path "
            f"{wanted[0]}: IMM's points stand in another order",
            file=file,
            row=row,
        )
    for name, value in (("x rel.", x), ("y rel.", y)):
        if not -0.5 <= value <= 1.5:
            message = f"received {value:g}, wanted a share of the photo's side, 0 to 1"
            raise DataError(message, file=file, row=row, column=name)
    return [x, y]


def _photo(file: Path, host: list[list[str]]) -> Path:
    """The photo that the file names, else one of the same name as the file."""
    name = host[0][0].replace("\\", "/").rpartition("/")[2] if host else ""
    named = file.parent / name[:_LONGEST] if name else None
    if named and named.is_file():
        return named
    beside = (file.with_suffix(suffix) for suffix in sorted(SUFFIXES))
    found = next((photo for photo in beside if photo.is_file()), None)
    if found is None:
        missing = named.name if named else f"{file.stem}.jpg"
        raise DataError(f"its photo {missing} is not there", file=file)
    return found
