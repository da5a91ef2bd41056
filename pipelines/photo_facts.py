"""What is known of photo files without decoding them: their sizes, and which are the same.

Of many files it is kept for the next time, as long as no file's size, times or inode change.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfkd.errors import DataError
from kfkd.pipelines.cache import Arrays, kept_arrays
from kfkd.pipelines.photos import photo_size
from kfkd.progress import Ticker, say_once

_WHOLE, _SAMPLE = 1 << 16, 1 << 12
_AT_ONCE, _SLOW, _VERSION = 1024, 2.0, "facts-1"
_MANY = 1000
"""Fewer files are looked at within a second: not worth an entry of the cache."""
_YOUNG_NS = 2_000_000_000
"""A file written to within this may change again without its times telling."""

Place = Callable[[int], tuple[str | Path, int | None]]
"""For the index of a photo the file and row that name it."""


class PhotoFacts(NamedTuple):
    """Facts of n photos.

    Args:
        sizes: int32 (n, 2), width and height, upright.
        digests: uint64 (n,), equal for files of the same content.
    """

    sizes: np.ndarray
    digests: np.ndarray


def photo_facts(
    paths: Sequence[str | Path], place: Place | None = None, quiet: bool = True
) -> PhotoFacts:
    """Looks at the headers of photos, of many that have not changed since at the cache alone.

    Args:
        paths: n files; one that stands there several times is looked at once.
        place: which file and row name a photo, for messages; None = the photo names itself.
        quiet: no progress.

    Returns:
        Their sizes and digests.

    Raises:
        DataError: when a photo is absent or no image, with the file and row that name it.

    Example:
        >>> photo_facts(["01-1m.jpg"]).sizes  # doctest: +SKIP
        array([[640, 480]], dtype=int32)
    """
    firsts = {str(path): index for index, path in reversed(list(enumerate(paths)))}
    files = list(firsts)

    def make() -> Arrays:
        return _look(files, lambda at: firsts[files[at]], place, quiet)

    def fits(arrays: Mapping[str, np.ndarray]) -> bool:
        kept = {name: (array.dtype, array.shape) for name, array in arrays.items()}
        n = len(files)
        return kept == {"sizes": (np.int32, (n, 2)), "digests": (np.uint64, (n,))}

    def note(text: str) -> None:
        say_once(text, quiet)

    key = _key(files)
    found = make() if key is None else kept_arrays(key, _VERSION, make, fits, note)
    places = {file: at for at, file in enumerate(files)}
    rows = [places[str(path)] for path in paths]
    return PhotoFacts(found["sizes"][rows], found["digests"][rows])


def _key(files: Sequence[str]) -> str | None:
    """Changes with every file, as far as its state tells; None where it may not tell, or for few.

    An absent file has none either: whoever looks at it says so.
    """
    if len(files) < _MANY:
        return None
    digest, now = hashlib.sha256(), time.time_ns()
    for file in files:
        try:
            state = Path(file).stat()
        except (OSError, ValueError):
            return None
        times = state.st_mtime_ns, state.st_ctime_ns
        if max(times) > now - _YOUNG_NS:
            return None
        told = [str(Path(file).absolute()), state.st_size, *times, state.st_ino]
        digest.update(json.dumps(told).encode())
    return digest.hexdigest()


def _look(
    files: Sequence[str], first: Callable[[int], int], place: Place | None, quiet: bool
) -> Arrays:
    """Sizes and digests of files; `first` gives the index by which `place` names one."""
    facts: list[tuple[tuple[int, int], int]] = []
    ticker, start = Ticker(quiet), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        for at in range(0, len(files), _AT_ONCE):
            part = files[at : at + _AT_ONCE]
            for file, found in zip(part, pool.map(_facts, part), strict=True):
                if isinstance(found, DataError):
                    raise _told(found, file, first(len(facts)), place) from None
                facts.append(found)
            if time.monotonic() - start > _SLOW:
                ticker.show(f"looking at photos {len(facts)}/{len(files)}")
    ticker.clear()
    return {
        "sizes": np.array([size for size, _ in facts], np.int32).reshape(-1, 2),
        "digests": np.array([digest for _, digest in facts], np.uint64),
    }


def name_digests(names: Iterable[str]) -> np.ndarray:
    """Group numbers of names, such as persons': a function of the name alone.

    Returns:
        uint64 (n,).
    """
    names = list(names)
    numbers = {name: _digest(name.encode()) for name in names}
    return np.array([numbers[name] for name in names], np.uint64)


def _facts(file: str) -> tuple[tuple[int, int], int] | DataError:
    try:
        return photo_size(file), _content(Path(file))
    except DataError as error:
        return error
    except OSError as error:
        return DataError(f"cannot be read: {error.strerror or error}", file=file)


def _content(path: Path) -> int:
    """A digest of the whole file; of a large one's length, beginning, middle and end.

    Compressed pictures that agree there are the same; reading gigabytes to know would take minutes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE:
            return _digest(file.read())
        parts = [str(size).encode()]
        for start in (0, size // 2, size - _SAMPLE):
            file.seek(start)
            parts.append(file.read(_SAMPLE))
    return _digest(b"".join(parts))


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _told(error: DataError, file: str, index: int, place: Place | None) -> DataError:
    if place is None:
        return error
    listed, row = place(index)
    return DataError(f"its photo {error}", file=listed, row=row)
