"""HDF5 files of weights from anyone: numbers that lie in the file, and as many as it says."""

from __future__ import annotations

from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

from kfkd.errors import DataError
from kfkd.storage.unpacking import BROKEN, refuse_bomb

WEIGHTS = "model.weights.h5"
"""What a `.keras` file calls its weights."""

_KINDS = "biufV"  # V: what NumPy makes of bfloat16
_MOST_OBJECTS = 200_000
_FREE, _TIMES = 1 << 24, 100


def check_weights(path: Path) -> None:
    """Refuses a `.h5` or `.keras` file from anyone whose weights are not plain numbers in it.

    Raises:
        DataError: when they are not.
    """
    if path.suffix != ".keras":
        stored_numbers(path)
        return
    try:
        with ZipFile(path) as archive:
            refuse_bomb(archive, path.stat().st_size)
            content = BytesIO(archive.read(WEIGHTS))
    except KeyError as error:
        raise DataError(f"it holds no {WEIGHTS}") from error
    except BROKEN as error:
        raise DataError(f"it is damaged or not a zip: {error}") from error
    stored_numbers(content)


def stored_numbers(file: Path | BinaryIO) -> int:
    """How many numbers an HDF5 file holds.

    Args:
        file: the file, or its content.

    Raises:
        DataError: when it is no HDF5 file, or one that links to other files, or claims or unpacks
            to more numbers than it can hold.
    """
    import h5py

    try:
        with h5py.File(file, "r") as opened:
            return _counted(opened)
    except DataError:
        raise
    except Exception as error:  # HDF5 and h5py raise almost anything on broken files
        raise DataError(f"it holds no readable weights: {error}") from error


def _counted(root: Any) -> int:
    import h5py

    numbers, size, seen, ahead = 0, 0, set[int](), [root]
    while ahead:
        group = ahead.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise DataError(f"it links {name!r:.80} to another place")
            one = group[name]
            place = h5py.h5o.get_info(one.id).addr
            if place in seen:  # groups may hold one another
                continue
            seen.add(place)
            if len(seen) > _MOST_OBJECTS:
                raise DataError(f"it holds more than {_MOST_OBJECTS:,} objects")
            if isinstance(one, h5py.Group):
                ahead.append(one)
            else:
                _check(one, name)
                numbers, size = numbers + prod(one.shape), size + one.nbytes
    if size > _FREE + _TIMES * root.id.get_filesize():
        raise DataError(f"it unpacks to {size:,} bytes of weights")
    return numbers


def _check(one: Any, name: str) -> None:
    import h5py

    if not isinstance(one, h5py.Dataset) or one.shape is None or one.dtype.kind not in _KINDS:
        raise DataError(f"it holds {name!r:.80}, which is no array of numbers")
    if one.external or one.is_virtual:
        raise DataError(f"it keeps {name!r:.80} in another file")
    if one.nbytes > _FREE + _TIMES * one.id.get_storage_size():
        raise DataError(f"it claims {one.shape} for {name!r:.80}, which it does not hold")
