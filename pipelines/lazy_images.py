"""`LazyImages`: crops of photos that are decoded when they are asked for, and not kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.pipelines.cropping import crop_faces
from kfkd.pipelines.photos import MOST_PIXELS, read_photo

_WORKERS = min(8, os.cpu_count() or 1)


class LazyImages:
    """Images that behave as an array uint8 (n, h, w, c) and are files until then.

    Indexing by a slice, a mask or indices gives lazy images; by one index, or `np.asarray`, pixels.

    Args:
        paths: (n,) str objects, the photos.
        sizes: int32 (n, 2), their widths and heights.
        digests: uint64 (n,), of their contents.
        matrices: float64 (n, 2, 3), from a photo's pixels to the crop's.
        frame: (height, width, channels) of the crops; channels 1 = grey, 3 = RGB.
        listed: the file that lists the photos, "" = none does.
        ids: int (n,), the numbers of their faces there.

    Example:
        >>> kfkd.load_faces("ibug", "ibug", lazy=True).images[:2].shape  # doctest: +SKIP
        (2, 224, 224, 3)
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        paths: np.ndarray,
        sizes: np.ndarray,
        digests: np.ndarray,
        matrices: np.ndarray,
        frame: tuple[int, int, int],
        listed: str = "",
        ids: np.ndarray | None = None,
    ) -> None:
        self.paths, self.sizes, self.digests, self.matrices = paths, sizes, digests, matrices
        self.frame, self.listed = frame, listed
        self.ids = np.arange(1, len(paths) + 1) if ids is None else ids
        self.failures: list[DataError] = []
        """What went wrong, in the images made of these too: tf.data tells no more than that."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, h, w, c)."""
        return (len(self.paths), *self.frame)

    @property
    def size(self) -> int:
        """How many numbers, and bytes, the pixels would be."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def fingerprint(self) -> bytes:
        """Bytes that change with any photo's content and with any crop, wherever the files lie."""
        digest = hashlib.sha256(str(self.shape).encode())
        for array in (self.digests, self.matrices):
            digest.update(np.ascontiguousarray(array).data)
        return digest.digest()

    @property
    def groups(self) -> np.ndarray:
        """uint64 (n,), equal for equal crops of photos of the same content."""
        crops = np.ascontiguousarray(self.matrices).reshape(len(self.paths), -1)
        keys = (d.tobytes() + m.tobytes() for d, m in zip(self.digests, crops, strict=True))
        digests = b"".join(hashlib.blake2b(key, digest_size=8).digest() for key in keys)
        return np.frombuffer(digests, ">u8").astype(np.uint64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, tuple):
            raise KfkdError("lazy images are picked by rows alone; np.asarray(images) has pixels")
        if isinstance(rows, int | np.integer):
            return self._decode(int(rows))
        rows = rows if isinstance(rows, slice) else np.asarray(rows)
        if not isinstance(rows, slice) and not rows.size:
            rows = slice(0)
        picked = LazyImages(
            self.paths[rows],
            self.sizes[rows],
            self.digests[rows],
            self.matrices[rows],
            self.frame,
            self.listed,
            self.ids[rows],
        )
        picked.failures = self.failures
        return picked

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._decode(row) for row in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        pixels = np.empty(self.shape, np.uint8)

        def fill(row: int) -> None:
            pixels[row] = self._decode(row)

        with ThreadPoolExecutor(_WORKERS) as pool:
            for _ in pool.map(fill, range(len(self))):
                pass
        return pixels if dtype is None else pixels.astype(dtype)

    def _decode(self, row: int) -> np.ndarray:
        try:
            return self._crop(row)
        except DataError as error:
            told = self._told(error, row)
            self.failures.append(told)
            raise told from error.__cause__

    def _told(self, error: DataError, row: int) -> DataError:
        """What is wrong with a photo, and where it is listed."""
        if not self.listed:
            return error
        told = DataError(f"{error} (face {self.ids[row]} of {self.listed})")
        told.file = error.file
        return told

    def _crop(self, row: int) -> np.ndarray:
        path, matrix, (width, height) = self.paths[row], self.matrices[row], self.sizes[row]
        photo = read_photo(path, _enough(matrix, int(width) * int(height)))
        if photo.size != (width, height):
            raise DataError(
                f"the photo is {photo.size[0]} × {photo.size[1]} pixels now, {width} × {height} "
                "when the set was read",
                file=path,
            )
        matrix = matrix if photo.scale == 1 else _of_reduced(matrix, photo.scale)
        *size, channels = self.frame
        return crop_faces(photo.pixels, [matrix], (size[0], size[1]), channels)[0]


def _enough(matrix: np.ndarray, pixels: int) -> int:
    """Pixels a photo needs so that its crop still averages at least two by two of them."""
    shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    factor = max(1, int(shrink / 2))
    return min(MOST_PIXELS, -(-pixels // factor**2))


def _of_reduced(matrix: np.ndarray, scale: int) -> np.ndarray:
    """The map of a photo as the map of one reduced `scale` times."""
    return np.column_stack([matrix[:, :2] * scale, matrix @ (*(((scale - 1) / 2,) * 2), 1)])
