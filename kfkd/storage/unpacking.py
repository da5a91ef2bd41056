"""Archives that may come from anyone: what they unpack to is bounded, and stays in its folder."""

from __future__ import annotations

import gzip
import struct
import tarfile
import zlib
from collections.abc import Callable
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

from kfkd.errors import KfkdError

_FREE, _TIMES = 1 << 26, 100
_MOST_MEMBERS = 1_000_000

_DAMAGED = (
    *(EOFError, ValueError, RuntimeError, MemoryError, struct.error, gzip.BadGzipFile),
    *(BadZipFile, tarfile.TarError, zlib.error, LZMAError),
)
BROKEN = (OSError, *_DAMAGED)
"""What reading an archive raises when that is absent, damaged, encrypted or of an unknown kind."""


def refuse_bomb(archive: ZipFile, size: int) -> None:
    """Refuses a zip that unpacks to much more than itself.

    Args:
        archive: opened.
        size: its length in bytes.

    Raises:
        KfkdError: beyond 64 MB and a hundred times the archive, or a million members.
    """
    members = archive.infolist()
    _check(size, len(members), sum(member.file_size for member in members))


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or tar archive into a folder that is there.

    Members with names, links or devices outside of the folder are refused or, in a zip, put inside.

    Raises:
        KfkdError: when the archive is damaged, unpacks to much more than itself, or holds files
            that would land elsewhere.
        OSError: when the folder cannot be written.
    """
    try:
        if is_zipfile(archive):
            with ZipFile(archive) as packed:
                refuse_bomb(packed, archive.stat().st_size)
                packed.extractall(folder)
        else:
            with tarfile.open(archive) as packed_tar:
                packed_tar.extractall(folder, filter=_counting(archive))
    except _DAMAGED as error:
        told = str(error) or "it ends too early"
        raise KfkdError(f"{archive} cannot be unpacked: {told}") from error


def _counting(archive: Path) -> Callable[[tarfile.TarInfo, str], tarfile.TarInfo | None]:
    """Python's own filter for data, which also counts."""
    size, count, total = archive.stat().st_size, 0, 0

    def counted(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        nonlocal count, total
        count, total = count + 1, total + member.size
        _check(size, count, total)
        return tarfile.data_filter(member, folder)

    return counted


def _check(size: int, members: int, total: int) -> None:
    if members > _MOST_MEMBERS or total > _FREE + _TIMES * size:
        raise KfkdError(
            f"{size / 1e6:.1f} MB unpack to {total / 1e6:.0f} MB in {members} files, or more, as "
            "only an attack does"
        )
