"""Arrays parsed from a file, kept under the digest of the file's bytes.

Nothing has to be told to the cache: another file, an edited one or a newer parser has another key,
and a copy of the same file has the same. An index spares hashing files that have not changed
since; like git's, it believes no entry of a file so young that it could change again unnoticed.
Beyond 2 GB the arrays used least recently go. Deleting the folder is always safe.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from kfkd.errors import DataError, KfkdError, WriteError
from kfkd.storage.files import bytes_of, file_digest, replacing, write_json
from kfkd.storage.locks import LOCK, in_turn

Arrays = dict[str, np.ndarray]

_DIGEST = re.compile("[0-9a-f]{64}")
_MOST_BYTES = 2_000_000_000
_INDEX_LENGTH = 64
# File systems keep times in steps of up to two seconds: a change within one step does not show.
_RACY_NS = 2_000_000_000


def cache_folder() -> Path:
    """Where arrays are kept: `$KFKD_CACHE`, else `$XDG_CACHE_HOME/kfkd`, else `~/.cache/kfkd`.

    Raises:
        KfkdError: when there is no home folder and none of the variables is set.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    if own := os.environ.get("KFKD_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).absolute() / "kfkd"
    try:
        return Path.home() / ".cache" / "kfkd"
    except RuntimeError as error:
        raise KfkdError("there is no home folder for a cache; set KFKD_CACHE") from error


def cached_arrays(
    file: str | Path,
    kind: str,
    make: Callable[[], Arrays],
    fits: Callable[[Mapping[str, np.ndarray]], bool],
    note: Callable[[str], None] = lambda text: None,
) -> Arrays:
    """The arrays parsed from a file, from the cache where they are there.

    A damaged entry is thrown away and made again. A cache that cannot be written costs speed only.

    Args:
        file: the file they are parsed from.
        kind: what is parsed and by which version, such as "train-1"; part of the key.
        make: parses them; its errors pass through and leave nothing behind.
        fits: whether arrays from the cache are what `make` returns (names, types, shapes).
        note: told, in one sentence, why nothing could be kept.

    Returns:
        The arrays by name.

    Raises:
        DataError: when the file cannot be read.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "a.txt")
        >>> _ = file.write_text("1 2")
        >>> read = lambda: {"a": np.array(file.read_text().split(), np.int64)}
        >>> cached_arrays(file, "demo-1", read, lambda arrays: "a" in arrays)["a"].tolist()
        [1, 2]
    """
    file = Path(file)
    try:
        folder = cache_folder()
    except KfkdError as error:
        note(f"not cached: {error}")
        return make()
    index = folder / "index.json"
    looked, state, known = time.time_ns(), _state(file), _index(index)
    digest = _known_digest(known, file, state) or _hash(file)
    entry = folder / "arrays" / f"{digest}-{kind}.npz"
    # Written to while it is read: nobody knows whose digest this is.
    arrays = _kept_or_made(entry, make, fits, note, lambda: _state(file) == state)
    old = looked - max(state[1:3]) > _RACY_NS
    if old and entry.is_file() and not _known_digest(known, file, state):
        with _noting(note):
            _remember(index, known, file, state, digest)
    return arrays


def kept_arrays(
    key: str,
    kind: str,
    make: Callable[[], Arrays],
    fits: Callable[[Mapping[str, np.ndarray]], bool],
    note: Callable[[str], None] = lambda text: None,
) -> Arrays:
    """Arrays made of more than one file, from the cache where they are there.

    Args:
        key: 64 hexadecimal digits that change with whatever the arrays depend on.
        kind: what they are and by which version, such as "photos-1".
        make: makes them; its errors pass through and leave nothing behind.
        fits: whether arrays from the cache are what `make` returns.
        note: told, in one sentence, why nothing could be kept.

    Returns:
        The arrays by name.

    Example:
        >>> make = lambda: {"a": np.arange(3)}
        >>> kept_arrays("0" * 64, "doc", make, lambda arrays: "a" in arrays)["a"].tolist()
        [0, 1, 2]
    """
    try:
        entry = cache_folder() / "arrays" / f"{key}-{kind}.npz"
    except KfkdError as error:
        note(f"not cached: {error}")
        return make()
    return _kept_or_made(entry, make, fits, note, lambda: True)


def _kept_or_made(
    entry: Path,
    make: Callable[[], Arrays],
    fits: Callable[[Mapping[str, np.ndarray]], bool],
    note: Callable[[str], None],
    sure: Callable[[], bool],
) -> Arrays:
    """The arrays of an entry; of several processes that want it one makes it, and others wait."""
    if (kept := _load(entry, fits)) is not None:
        return kept
    with in_turn(entry.with_name(f".{entry.stem}{LOCK}"), note):
        if (kept := _load(entry, fits)) is not None:
            return kept
        arrays = make()
        if sure():
            with _noting(note):
                _store(entry, arrays)
    return arrays


@contextmanager
def _noting(note: Callable[[str], None]) -> Iterator[None]:
    """Goes on where nothing can be kept, and says so, in the same words for every file."""
    try:
        yield
    except WriteError as error:
        note(f"not cached: {WriteError(cache_folder(), error.reason)}")


def _state(file: Path) -> list[int]:
    """Size, time of writing, time of any change (which no program can set) and inode number."""
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=file) from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _hash(file: Path) -> str:
    try:
        return file_digest(file)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=file) from error


def _index(path: Path) -> dict[str, list]:
    """For each file its state and digest; whatever is wrong with the index, it is empty."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return index if isinstance(index, dict) else {}


def _known_digest(index: dict[str, list], file: Path, state: list[int]) -> str | None:
    match index.get(str(file.absolute())):
        case [known, str(digest)] if known == state and _DIGEST.fullmatch(digest):
            return digest
    return None


def _remember(
    path: Path, index: dict[str, list], file: Path, state: list[int], digest: str
) -> None:
    name = str(file.absolute())
    kept = [(other, known) for other, known in index.items() if other != name]
    write_json(path, dict([*kept[1 - _INDEX_LENGTH :], (name, [state, digest])]))


def _load(entry: Path, fits: Callable[[Mapping[str, np.ndarray]], bool]) -> Arrays | None:
    try:
        with np.load(entry, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if fits(arrays):
            with suppress(OSError):  # a cache that may only be read still serves
                os.utime(entry)  # the time of its last use, for `_prune`
            return arrays
    except FileNotFoundError:
        return None
    except Exception:  # zip, NumPy header, checksum, …: a damaged entry has no end of ways to fail
        pass
    with suppress(OSError):
        entry.unlink()
    return None


def _store(entry: Path, arrays: Arrays) -> None:
    with replacing(entry, bytes_of(arrays)) as beside:
        np.savez(beside, **arrays)  # type: ignore[arg-type]
    _prune(entry)


def _prune(written: Path) -> None:
    """Removes the entries used least recently, never `written`, until 2 GB hold what is left."""
    entries = []
    for path in written.parent.glob("*.npz"):
        if _DIGEST.match(path.name):  # others are being written
            with suppress(OSError):  # removed by another process
                entries.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    excess = sum(size for _, size, _ in entries) - _MOST_BYTES
    for _, size, path in sorted(entries):
        if excess > 0 and path != written:
            with suppress(OSError):
                path.unlink()
                excess -= size
