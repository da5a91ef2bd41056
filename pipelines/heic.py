"""HEIC, what most phones write: read where the package pillow-heif is there, else named."""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path

from kfkd.errors import DataError

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HEAD = 64


def open_heic_too(path: Path) -> None:
    """Lets Pillow open a file if that is HEIC; it has not learned that from Pillow itself.

    Args:
        path: a photo of any format.

    Raises:
        DataError: when it is HEIC, and nothing here can read that.
        OSError: when it cannot be read at all.
    """
    from PIL import Image

    if not _is_heic(path) or "HEIF" in Image.OPEN:
        return
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    if "HEIF" not in Image.OPEN:
        raise DataError("is a HEIC photo: pip install pillow-heif, or convert it", file=path)


def _is_heic(path: Path) -> bool:
    """Whether its first box names a brand of HEIC, and not AVIF, which has the same container."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    brands = head[8 : int.from_bytes(head[:4])]
    known = any(brand in brands for brand in _BRANDS)
    return head[4:8] == b"ftyp" and known and b"avif" not in brands
