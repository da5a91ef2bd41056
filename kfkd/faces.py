"""`FaceSet`: images and their keypoints, as every reader returns them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kfkd.crops import CropRule
from kfkd.errors import KfkdError
from kfkd.photo_places import PhotoPlaces
from kfkd.skeletons import Skeleton

SOURCES = ("full", "four_point")


@dataclass(frozen=True, repr=False)
class FaceSet:
    """A set of face images with their keypoints.

    Args:
        images: uint8 (n, h, w, c); of large sets of photos `LazyImages`, which `np.asarray` turns
            into pixels, and a slice of which into a slice of the pixels.
        keypoints: float32 (n, k, 2), (x, y) in pixels of the image, origin at the centre of the
            top-left pixel; NaN = not labelled.
        skeleton: names the k keypoints.
        source: (n,) str, who labelled the row: "full" or "four_point" on Kaggle's data, else the
            data set's name.
        group: uint64 (n,), equal for images that must stay on one side of a split.
        ids: int64 (n,), the row number (from 1) or Kaggle's ImageId.
        origin: where the faces come from: "kaggle", "synthetic", ….
        path: file or folder they were read from, of photos with what was asked of their crops
            ("ibug:/data/ibug?size=224x224&channels=3"), "" for built-in faces.
        notes: warnings of the reader, one sentence each.
        photos: of faces of photos which photo each is from, and the way back to its pixels.
        crop: how faces of other photos are cropped to look like these; None = as the origin's.

    Raises:
        KfkdError: when shapes or types do not fit together.
    """

    images: np.ndarray
    keypoints: np.ndarray
    skeleton: Skeleton
    source: np.ndarray
    group: np.ndarray
    ids: np.ndarray
    origin: str = "own"
    path: str = ""
    notes: tuple[str, ...] = field(default=())
    photos: PhotoPlaces | None = None
    crop: CropRule | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        wanted = {
            "images": (
                self.images.dtype == np.uint8 and self.images.ndim == 4,
                "uint8 (n, h, w, c)",
            ),
            "keypoints": (
                self.keypoints.dtype == np.float32
                and self.keypoints.shape == (n, len(self.skeleton), 2),
                f"float32 ({n}, {len(self.skeleton)}, 2)",
            ),
        }
        for name in ("source", "group", "ids"):
            wanted[name] = (np.shape(getattr(self, name)) == (n,), f"({n},)")
        for name, (fits, shape) in wanted.items():
            value = getattr(self, name)
            if not fits:
                raise KfkdError(
                    f"FaceSet wants {name} as {shape}. Received: {value.dtype} {value.shape}"
                )
        if self.photos is not None and len(self.photos) != n:
            raise KfkdError(f"FaceSet wants photos of {n} faces. Received: {len(self.photos)}")

    def __repr__(self) -> str:
        height, width, channels = self.images.shape[1:]
        origin = repr(self.path) if self.path else self.origin
        return (
            f"<FaceSet of {len(self)} faces, {height}×{width}×{channels}, "
            f"{len(self.skeleton)} keypoints of {self.skeleton.name}, from {origin}>"
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> FaceSet:
        """The faces at `rows`: indices, a boolean mask or a slice."""
        picked = {
            name: getattr(self, name)[rows]
            for name in ("images", "keypoints", "source", "group", "ids")
        }
        photos = None if self.photos is None else self.photos[rows]
        return replace(self, **picked, photos=photos)

    @property
    def labelled(self) -> np.ndarray:
        """bool (n, k, 2): which coordinates have a label."""
        return ~np.isnan(self.keypoints)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any pixel, label, id or group.

        Lazy images count by their files' contents and their crops.
        """
        digest = hashlib.sha256()
        if not isinstance(self.images, np.ndarray):
            digest.update(self.images.fingerprint)
        pixels = [self.images] if isinstance(self.images, np.ndarray) else []
        for array in (*pixels, self.keypoints, self.ids, self.group):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def image_groups(images: np.ndarray) -> np.ndarray:
    """Groups of identical images.

    Args:
        images: uint8 (n, h, w, c).

    Returns:
        uint64 (n,): a digest of the pixels, so a group's number is the same in every file; of lazy
        images one of their files' contents and their crops.
    """
    if not isinstance(images, np.ndarray):
        return images.groups
    digests = (
        hashlib.blake2b(np.ascontiguousarray(i).data, digest_size=8).digest() for i in images
    )
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
