"""Where the faces of a set lie in their photos: the file, and the way back from the crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kfkd.errors import KfkdError


@dataclass(frozen=True, eq=False)
class PhotoPlaces:
    """The places of n faces in photos.

    Args:
        files: (n,) str objects, each photo as its data set calls it, such as "lfpw/a.jpg".
        matrices: float64 (n, 2, 3), from photo to crop: crop = matrix @ (x, y, 1), pixel centres
            in both.
        faceless: photos that the data set lists without a face; they have no place.

    Raises:
        KfkdError: when shapes do not fit together.

    Example:
        >>> places = PhotoPlaces(np.array(["a.jpg"], object), np.array([[[2, 0, 1], [0, 2, 3.0]]]))
        >>> places.to_photo(np.array([[[5.0, 5.0]]])).tolist()
        [[[2.0, 1.0]]]
    """

    files: np.ndarray
    matrices: np.ndarray
    faceless: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.matrices.shape != (*self.files.shape, 2, 3) or self.files.ndim != 1:
            raise KfkdError(
                "PhotoPlaces wants files (n,) and matrices (n, 2, 3). "
                f"Received: {self.files.shape} and {self.matrices.shape}"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> PhotoPlaces:
        """The places at `rows`: indices, a boolean mask or a slice."""
        return replace(self, files=self.files[rows], matrices=self.matrices[rows])

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Points of the photos in their crops.

        Args:
            points: (n, k, 2) in pixels of each photo; NaN stays NaN.

        Returns:
            float64 (n, k, 2) in pixels of the crops.
        """
        turned = np.einsum("nij,nkj->nki", self.matrices[:, :, :2], points)
        return turned + self.matrices[:, None, :, 2]

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Points of the crops in their photos, as for predictions.

        Args:
            points: (n, k, 2) in pixels of each crop; NaN stays NaN.

        Returns:
            float64 (n, k, 2) in pixels of the photos.
        """
        back = np.linalg.inv(self.matrices[:, :, :2])
        return np.einsum("nij,nkj->nki", back, points - self.matrices[:, None, :, 2])

    def then(self, matrices: np.ndarray) -> PhotoPlaces:
        """The places of the same faces in crops that were cropped once more.

        Args:
            matrices: float64 (n, 2, 3), from these crops to the new ones.
        """
        linear = matrices[:, :, :2] @ self.matrices[:, :, :2]
        shift = matrices[:, :, :2] @ self.matrices[:, :, 2:] + matrices[:, :, 2:]
        return replace(self, matrices=np.concatenate([linear, shift], axis=2))
