"""300-W's own layout: folders of photos, each with a `.pts` file of 68 points beside it.

These files come out of MATLAB, where the first pixel is number 1 (Menpo reads them so, too): 1 is
taken off, so that 0 is the centre of the first pixel.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kfkd.errors import DataError
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_rows import Row, photo_set
from kfkd.pipelines.photos import SUFFIXES
from kfkd.pipelines.text_files import numbers, read_text
from kfkd.skeletons import IBUG_68

FIRST_PIXEL = 1
"""The number that the files give the centre of the first pixel."""

_TEST = "testset"
_LAYOUT = re.compile(r"\s*version\s*:\s*1\s+n_points\s*:\s*([^\s{]+)\s*\{([^}]*)\}\s*", re.S | re.I)


def read_pts(path: str | Path, part: str = "train", quiet: bool = False) -> PhotoSet:
    """Reads folders of .pts files.

    300-W has boxes in other files; here a face's box is that of its points.

    Args:
        path: a folder; those inside it are read, too.
        part: "test" = what lies in folders called testset, as in LFPW and Helen, "train" = the
            rest; where there is no such folder, both give all.
        quiet: no progress.

    Returns:
        Faces with 68 points.

    Raises:
        DataError: when a .pts file is not as it should be or has no photo beside it.

    Example:
        >>> len(read_pts("300w/lfpw"))  # doctest: +SKIP
        811
    """
    root = Path(path).expanduser()
    files = _part(root, sorted(root.rglob("*.pts")), part)
    rows = []
    for file in files:
        points = _read(file)
        (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
        rows.append(Row(_photo(file), points, (x, y, right - x, bottom - y)))
    return photo_set(rows, IBUG_68, "pts", root, lambda index: (files[index], None), quiet=quiet)


def _part(root: Path, files: list[Path], part: str) -> list[Path]:
    if not files:
        what = "holds no .pts files" if root.is_dir() else "is no folder"
        raise DataError(f"{what}, wanted a folder of photos with .pts files", file=root)
    tests = [file for file in files if _TEST in file.relative_to(root).parent.parts]
    if not tests:
        return files
    if part == "test":
        return tests
    if len(tests) == len(files):
        raise DataError('holds test sets only; ask for part="test"', file=root)
    return sorted(set(files) - set(tests))


def _read(file: Path) -> np.ndarray:
    layout = _LAYOUT.fullmatch(read_text(file))
    if layout is None:
        wanted = "version: 1, n_points: 68, then { points }"
        raise DataError(f"is no file of points, wanted {wanted}", file=file)
    lines = [line.split() for line in layout[2].splitlines() if line.strip()]
    if layout[1] != str(len(IBUG_68)) or len(lines) != len(IBUG_68):
        message = f"received {layout[1]} points in {len(lines)} lines, wanted {len(IBUG_68)}"
        raise DataError(message, file=file)
    values = []
    for row, fields in enumerate(lines, start=1):
        if len(fields) != 2:
            message = f"received {len(fields)} numbers, wanted x and y"
            raise DataError(message, file=file, row=row)
        values.append(numbers(fields, file=file, row=row, columns="xy"))
    return np.array(values) - FIRST_PIXEL


def _photo(file: Path) -> Path:
    endings = (end for suffix in sorted(SUFFIXES) for end in (suffix, suffix.upper()))
    found = next((p for end in endings if (p := file.with_suffix(end)).is_file()), None)
    if found is None:
        raise DataError(f"no photo {file.stem}.jpg or .png lies beside it", file=file)
    return found
