"""Many photos, read ahead of whoever works on them, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from kfkd.errors import DataError
from kfkd.pipelines.photos import SUFFIXES, Photo, read_photo

if TYPE_CHECKING:
    from PIL.Image import Image

Source: TypeAlias = "Path | np.ndarray | Image"
"""What `read_photo` reads."""

_From = TypeVar("_From")
_Read = TypeVar("_Read", bound=Photo | DataError)

DRAWN = ".faces.jpg"
"""Ending of pictures that kfkd draws; in a folder they are no photos."""

TRIED = SUFFIXES | {".avif", ".heic", ".heif", ".jfif", ".jp2"}
"""What photos in folders end in; of these, kinds that cannot be decoded here are named."""
_AHEAD = 2
_CHUNK_PIXELS = 24_000_000


def photo_sources(photos: object) -> list[Source]:
    """What a user hands in as photos, one by one.

    Args:
        photos: an image file, a folder, a Pillow image, an array (h, w) or (h, w, c), several as
            (n, h, w, c), or any sequence of these.

    Raises:
        DataError: when it is none of these, or there are none.
    """
    from PIL.Image import Image

    if isinstance(photos, str | Path):
        return list(photo_paths([photos]))
    if isinstance(photos, Image) or (isinstance(photos, np.ndarray) and photos.ndim != 4):
        return [photos]
    if not isinstance(photos, Iterable):
        raise DataError(f"photos want files, folders or arrays. Received: {type(photos).__name__}")
    sources = [source for photo in photos for source in photo_sources(photo)]
    if not sources:
        raise DataError("photos want at least one file, folder or array. Received: none")
    return sources


def photo_paths(sources: Iterable[str | Path]) -> list[Path]:
    """Files, with every folder replaced by the photos that lie in it, sorted by name.

    Args:
        sources: files, which may have any suffix, and folders.

    Raises:
        DataError: when a folder holds no photo.
    """
    paths: list[Path] = []
    for source in sources:
        path = Path(source).expanduser()
        if not path.is_dir():
            paths.append(path)
            continue
        try:
            inside = sorted(path.iterdir())
        except OSError as error:
            raise DataError(f"cannot be listed: {error.strerror or error}", file=path) from error
        found = [p for p in inside if _is_photo(p.name)]
        if not found:
            deeper = "; folders in it are not searched" if any(map(Path.is_dir, inside)) else ""
            wanted = ", ".join(sorted(SUFFIXES))
            raise DataError(f"holds no photos, wanted {wanted}{deeper}", file=path)
        paths += found
    return paths


def _is_photo(name: str) -> bool:
    hidden = name.startswith(".") or name.endswith(DRAWN)
    return Path(name).suffix.lower() in TRIED and not hidden


def read_photos(sources: Iterable[Source]) -> Iterator[tuple[Source, Photo | DataError]]:
    """Reads photos in order, two ahead in threads.

    Args:
        sources: of `photo_sources`.

    Yields:
        A source with its photo, or with why it cannot be read.
    """
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[tuple[Source, Future[Photo | DataError]]] = deque()
        for source in sources:
            waiting.append((source, pool.submit(_read, source)))
            if len(waiting) > _AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def chunks(read: Iterable[tuple[_From, _Read]], count: int) -> Iterator[list[tuple[_From, _Read]]]:
    """Photos in lists that fit into memory.

    Args:
        read: of `read_photos`, or frames of a video.
        count: photos in a list, at most; fewer where they are large.
    """
    chunk: list[tuple[_From, _Read]] = []
    pixels = 0
    for source, photo in read:
        chunk.append((source, photo))
        pixels += 0 if isinstance(photo, DataError) else photo.pixels.size // 3
        if len(chunk) >= count or pixels >= _CHUNK_PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _read(source: Source) -> Photo | DataError:
    try:
        return read_photo(source)
    except DataError as error:
        return error
