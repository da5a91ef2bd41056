"""A mix as people write it: one image after the other, with NumPy and OpenCV.

What `kfkd bench augment` compares our batched mixes with: the same transforms in the same ranges,
each image with random parameters of its own, geometry composed into one warp, all steps on uint8.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kfkd.augment import Elastic, Flip, Geometric, Mix, Photometric, Transform
from kfkd.errors import KfkdError
from kfkd.lazy import cv2
from kfkd.pipelines.per_image_geometry import (
    Field,
    cv2_border,
    moved_points,
    random_matrix,
    simard_field,
)
from kfkd.pipelines.per_image_pixels import CHANGES
from kfkd.skeletons import Skeleton


class PerImage:
    """A mix as a function of one image.

    Args:
        mix: the transforms.
        skeleton: names the keypoints.
        seed: of the draws.

    Raises:
        KfkdError: when the mix changes the images' size.
    """

    def __init__(self, mix: Mix, skeleton: Skeleton, seed: int = 0) -> None:
        if mix.frame.size is not None:
            raise KfkdError(f"per-image code keeps the images' size. Received: {mix}")
        self.mix, self.mirror = mix, list(skeleton.mirror)
        self.rng = np.random.default_rng(seed)

    def __call__(self, image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The changed image and its keypoints.

        Args:
            image: uint8 (h, w, c).
            keypoints: float32 (k, 2) in pixels, NaN = not labelled.
        """
        branch = self.mix.branches[int(self.rng.integers(len(self.mix.branches)))]
        chosen = [t for t in branch if t.p == 1 or self.rng.random() < t.p]
        picture = image[..., 0] if image.shape[2] == 1 else image
        moving = [t for t in chosen if not isinstance(t, Photometric)]
        if moving:
            picture, keypoints = self._moved(picture, keypoints, moving)
        for transform in chosen:
            if isinstance(transform, Photometric):
                picture = CHANGES[transform.name](transform, picture, self.rng)
        return picture.reshape(image.shape), keypoints

    def _moved(
        self, picture: np.ndarray, keypoints: np.ndarray, moving: list[Transform]
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = picture.shape[:2]
        centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
        matrix, field = np.eye(3), None
        for transform in moving:
            if isinstance(transform, Elastic):
                field = simard_field(transform, (height, width), self.rng)
            elif isinstance(transform, Geometric):
                matrix = random_matrix(transform, (height, width), self.rng) @ matrix
        matrix = centre @ matrix @ np.linalg.inv(centre)
        picture = self._warped(picture, matrix, field)
        points = moved_points(keypoints, matrix, field)
        if sum(isinstance(t, Flip) and t.swap for t in moving) % 2:
            points = points[self.mirror]
        if self.mix.frame.outside == "nan":
            on = (points >= -0.5) & (points <= np.array([width, height]) - 0.5)
            points[~on.all(axis=1)] = np.nan
        return picture, points.astype(np.float32)

    def _warped(self, picture: np.ndarray, matrix: np.ndarray, field: Field | None) -> np.ndarray:
        size = (picture.shape[1], picture.shape[0])
        edge: dict[str, Any] = {
            "borderMode": cv2_border(self.mix.frame.border),
            "borderValue": self.mix.frame.fill,
        }
        if field is not None:
            grid = np.meshgrid(*(np.arange(length, dtype=np.float32) for length in size))
            places = np.stack([axis + by for axis, by in zip(grid, field, strict=True)], axis=-1)
            came: Any = cv2.perspectiveTransform(places, np.linalg.inv(matrix)).astype(np.float32)
            return cv2.remap(picture, came, None, cv2.INTER_LINEAR, **edge)  # type: ignore[call-overload]
        if matrix[2, 0] or matrix[2, 1]:
            return cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR, **edge)
        return cv2.warpAffine(picture, matrix[:2], size, flags=cv2.INTER_LINEAR, **edge)
