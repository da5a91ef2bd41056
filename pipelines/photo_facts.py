"""What is known of photo files without decoding them: their sizes, and which are the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfkd.errors import DataError
from kfkd.pipelines.photos import photo_size
from kfkd.progress import Ticker

_WHOLE, _SAMPLE = 1 << 16, 1 << 12
_AT_ONCE, _SLOW = 1024, 2.0

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
    """Looks at the headers of photos.

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
    unique = {str(path): index for index, path in reversed(list(enumerate(paths)))}
    files: list[str] = list(unique)
    facts: dict[str, tuple[tuple[int, int], int]] = {}
    ticker, start = Ticker(quiet), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        for first in range(0, len(files), _AT_ONCE):
            part = files[first : first + _AT_ONCE]
            for file, found in zip(part, pool.map(_facts, part), strict=True):
                if isinstance(found, DataError):
                    raise _told(found, file, unique[file], place) from None
                facts[file] = found
            if time.monotonic() - start > _SLOW:
                ticker.show(f"looking at photos {first + len(part)}/{len(files)}")
    ticker.clear()
    named = [facts[str(path)] for path in paths]
    return PhotoFacts(
        np.array([size for size, _ in named], np.int32).reshape(-1, 2),
        np.array([digest for _, digest in named], np.uint64),
    )


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
