"""Arrays out of `.npz` files that may come from anyone: plain numbers and text, no pickle.

A file may claim arrays, or unpack to some, that are larger than any memory. So before one is made
it is compared with what the file holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from io import BytesIO
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from kfkd.errors import KfkdError
from kfkd.storage.safe_reading import json_from
from kfkd.storage.unpacking import refuse_bomb

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_KINDS = "biufU"
_BROKEN = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error),
    *(RuntimeError, SyntaxError, MemoryError, OverflowError),  # RuntimeError: encrypted, nested
    TokenError,  # of headers that NumPy takes for Python 2's
)


def read_arrays(
    path: str | Path, names: Collection[str] | None = None, content: BytesIO | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`.

    Args:
        path: the file.
        names: which; None = all.
        content: what the file holds, where that is known; None = it is read.

    Returns:
        By name: numbers, truth values or text.

    Raises:
        KfkdError: when it is absent or broken, or holds something else.
    """
    try:
        size = content.getbuffer().nbytes if content else Path(path).stat().st_size
        with ZipFile(content or path) as archive:
            refuse_bomb(archive, size)
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            chosen = members if names is None else {name: members[name] for name in names}
            return {name: _array(archive, member) for name, member in chosen.items()}
    except _BROKEN as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise KfkdError(f"{path} is not a readable .npz: {what}") from error


def told(array: np.ndarray) -> Any:
    """The value of a JSON text that is kept as an array.

    Raises:
        ValueError: when it is none.
    """
    if array.shape or array.dtype.kind != "U":
        raise ValueError(f"a text is an array of {array.dtype} {array.shape}")
    return json_from(str(array))


def _array(archive: ZipFile, member: ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        _check_header(file, member)
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], member: ZipInfo) -> None:
    """Refuses an array that is not exactly what follows its header."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{member.filename} is of another version, {version}")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"{member.filename} holds {dtype}, not numbers or text")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(f"{member.filename} claims {shape} of {dtype}, which it does not hold")
