"""`PhotoSet`: labelled photos of any size as readers find them, before faces are cropped out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kfkd.errors import KfkdError
from kfkd.skeletons import Skeleton

_ROWS = ("paths", "sizes", "digests", "boxes", "keypoints", "source", "group", "ids")


@dataclass(frozen=True, eq=False, repr=False)
class PhotoSet:
    """Faces in photos with their keypoints; a photo with several faces stands there several times.

    Args:
        paths: (n,) str objects, the photo's file.
        sizes: int32 (n, 2), width and height of the photo, upright, in its pixels.
        digests: uint64 (n,), equal for files of the same content.
        boxes: float32 (n, 4), x, y, width, height in pixels of the photo, which the box may leave;
            NaN = the whole photo.
        keypoints: float32 (n, k, 2), (x, y) in pixels of the photo, origin at the centre of the
            top-left pixel; NaN = not labelled.
        skeleton: names the k keypoints.
        source: (n,) str, who labelled the row, such as "imm".
        group: uint64 (n,), equal for photos that must stay on one side of a split: one person's,
            or identical ones.
        ids: int64 (n,), the row number in the reader's order, from 1.
        origin: the data set's name, such as "imm".
        path: file or folder they were read from.
        notes: warnings of the reader, one sentence each.
        faceless: photos that the data set lists without a face, as it calls them; they are no rows.

    Raises:
        KfkdError: when shapes or types do not fit together.
    """

    paths: np.ndarray
    sizes: np.ndarray
    digests: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray
    skeleton: Skeleton
    source: np.ndarray
    group: np.ndarray
    ids: np.ndarray
    origin: str = "own"
    path: str = ""
    notes: tuple[str, ...] = field(default=())
    faceless: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.paths)
        wanted = {
            "paths": (np.dtype(object), (n,)),
            "sizes": (np.dtype(np.int32), (n, 2)),
            "digests": (np.dtype(np.uint64), (n,)),
            "boxes": (np.dtype(np.float32), (n, 4)),
            "keypoints": (np.dtype(np.float32), (n, len(self.skeleton), 2)),
            "group": (np.dtype(np.uint64), (n,)),
        }
        for name, (dtype, shape) in wanted.items():
            value = getattr(self, name)
            if value.dtype != dtype or value.shape != shape:
                raise KfkdError(
                    f"PhotoSet wants {name} as {dtype} {shape}. "
                    f"Received: {value.dtype} {value.shape}"
                )
        for name in ("source", "ids"):
            if np.shape(getattr(self, name)) != (n,):
                received = np.shape(getattr(self, name))
                raise KfkdError(f"PhotoSet wants {name} as ({n},). Received: {received}")

    def __repr__(self) -> str:
        return (
            f"<PhotoSet of {len(self)} faces, {len(self.skeleton)} keypoints of "
            f"{self.skeleton.name}, from {self.path!r}>"
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> PhotoSet:
        """The faces at `rows`: indices, a boolean mask or a slice."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROWS})

    @property
    def labelled(self) -> np.ndarray:
        """bool (n, k, 2): which coordinates have a label."""
        return ~np.isnan(self.keypoints)
