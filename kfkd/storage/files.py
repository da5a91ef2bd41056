"""Files that are never left half-written: write beside, then rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, WriteError
from kfkd.storage.leftovers import MARK, begin, end, remove
from kfkd.storage.safe_reading import json_from, read_bytes

_CHUNK = 1 << 20


@contextmanager
def replacing(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` when the block succeeds.

    Args:
        path: the file to make or replace; its folder is made where absent.
        size: how many bytes it will have, for the message where the disk is full.

    Yields:
        A path with the same suffix in the same folder, removed again when the block fails. The
        file that was there before then stays as it was.

    Raises:
        WriteError: when it cannot be written.
    """
    path = Path(path)
    with _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside, lock = begin(path)
    try:
        with _telling(path, beside, size):
            yield beside
            beside.chmod(0o666 & ~_umask())
            beside.replace(path)
    finally:
        remove(beside)
        end(lock)


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """Yields a temporary folder that takes the place of `folder` when the block succeeds.

    Args:
        folder: the folder to make; only an empty one may be there.

    Yields:
        A folder beside it, removed again when the block fails.

    Raises:
        WriteError: when it cannot be written.
    """
    folder = Path(folder)
    with _telling(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside, lock = begin(folder, is_folder=True)
    try:
        with _telling(folder, beside):
            yield beside
            beside.chmod(0o777 & ~_umask())
            if folder.is_dir():
                folder.rmdir()
            beside.replace(folder)
    finally:
        remove(beside)
        end(lock)


def make_folder(folder: str | Path) -> Path:
    """Makes a folder where it is absent.

    Raises:
        WriteError: when it cannot be made.
    """
    with _telling(Path(folder)):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


@contextmanager
def _telling(path: Path, beside: Path | None = None, size: int | None = None) -> Iterator[None]:
    """Says of what goes wrong with a file's writing which file it is, and why."""
    try:
        yield
    except WriteError as error:  # of a file in a folder that has not its name yet
        raise WriteError(str(error.what).replace(str(beside), str(path)), error.reason) from error
    except KfkdError:
        raise
    except Exception as error:
        reason = _reason(error, path)
        if reason is None:
            raise
        if os.strerror(errno.ENOSPC) in reason:
            wanted = "" if size is None else f"{_told(size)} wanted, "
            if beside is not None:
                remove(beside)
            reason += f" ({wanted}{_room(path.parent)})"
        raise WriteError(path, reason) from error


def _reason(error: Exception, path: Path) -> str | None:
    """Why a block failed that writes, if that is the system's doing; another file is named."""
    if not isinstance(error, OSError):
        return unwritten(error)
    reason, name = error.strerror or str(error), error.filename
    own = not isinstance(name, str) or Path(name) in (path, *path.parents)
    return reason if own or MARK in name else f"{reason}: {name}"


def unwritten(error: BaseException) -> str | None:
    """Why something could not be written, where an error is of that kind; else None.

    Args:
        error: the system's, or one of a library that has the system's words in it, as
            TensorFlow's have.

    Example:
        >>> unwritten(OSError(28, "No space left on device"))
        'No space left on device'
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror if error.errno in _UNWRITTEN else None
    return next((words for words in map(os.strerror, _UNWRITTEN) if words in str(error)), None)


_UNWRITTEN = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
)
"""What the system says of a full disk, a file or quota at its limit, a place that may only be read
and a disk that fails."""


def _room(folder: Path) -> str:
    """What a file system has left for us: bytes, or no place for one more file."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return "how much is free cannot be told"
    with suppress(OSError, AttributeError):  # Windows has no inodes
        system = os.statvfs(folder)
        if system.f_files and not system.f_favail:
            return (
                f"{_told(free)} free, but all {system.f_files:,} inodes are taken: too many files"
            )
    return f"{_told(free)} free"


def _told(size: int) -> str:
    """Bytes for people: "0 bytes", "4.1 kB", "12.3 MB"."""
    if size < 1000:
        return f"{size} bytes"
    kilo, mega = size / 1e3, size / 1e6
    if kilo < 999.95:
        return f"{kilo:.1f} kB"
    return f"{mega:.1f} MB" if mega < 999.95 else f"{mega / 1e3:.1f} GB"


def bytes_of(arrays: Mapping[str, Any]) -> int:
    """How many bytes arrays hold, for `replacing`."""
    return sum(array.nbytes for array in arrays.values())


def bytes_in(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path, len(text.encode())) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` to `path` as indented JSON, whole or not at all; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        KfkdError: when the file is absent, far too large or not JSON.
    """
    content = read_bytes(path)
    try:
        return json_from(content.decode("utf-8"))
    except ValueError as error:
        raise KfkdError(f"{path} is not valid JSON: {error}") from error


def file_digest(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
