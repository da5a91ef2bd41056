"""How far a set's labels lie beside the axis about which its mirror images turn.

A mirror image is the photo of another face that is as likely, so a set's labels should look the
same in it: the mean patch around the right eye as the mirrored one around the left. Where an
annotator's tool, or a later change of size, moved all labels to one side, they do not: Kaggle's
four-point labels lie 1.2 pixels to the right of that. Learned with mirror images, each
such label says once that the point is right of where it is and once that it is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kfkd.faces import FaceSet
from kfkd.lazy import cv2

_MOST, _MOST_LAZY = 8192, 1024
"""Faces that are looked at, evenly spread over the set; fewer where they are read for it."""
_FEWEST = 30
"""Patches that make a mean of a point."""
_ROUNDS = 10
_FLAT = 4.0
"""Patches with less contrast say nothing, in pixel values' standard deviation."""


def labels_beside_axis(faces: FaceSet, points: Sequence[int]) -> float:
    """How far labels lie to the right of where they would look the same in mirror images.

    The mean patch around each point is compared with the mirrored mean patch around the point that
    it becomes in a mirror image. The shift that brings the two together in the least squares of all
    points is twice what is sought (Lucas and Kanade, "An iterative image registration technique",
    1981, in one dimension).

    Args:
        faces: keypoints (n, k, 2) in pixels.
        points: which of the k keypoints count, those whose partner in a mirror image is there too.

    Returns:
        Pixels, the same for all these points and faces; 0 where too few labels tell.
    """
    mirror = faces.skeleton.mirror
    most = _MOST if isinstance(faces.images, np.ndarray) else _MOST_LAZY
    if len(faces) > most:
        faces = faces[np.linspace(0, len(faces) - 1, most).astype(int)]
    grey = _grey(faces.images)
    radius = max(4, round(faces.images.shape[2] / 12))
    beside = 0.0
    for _ in range(_ROUNDS):
        step = _step(_mean_patches(grey, faces.keypoints, points, radius, beside), mirror)
        beside += step
        if abs(step) < 1e-3:
            break
    # Further off the two patches are of different things.
    return round(beside, 4) if abs(beside) <= radius / 2 else 0.0


def _step(means: dict[int, np.ndarray], mirror: Sequence[int]) -> float:
    """Half the shift between mean patches and the mirrored ones of their partners."""
    along = steep = 0.0
    for k, mean in means.items():
        if mirror[k] in means:
            other = means[mirror[k]][:, ::-1]
            slope = np.gradient((mean + other) / 2, axis=1)
            along += float(((mean - other) * slope).sum())
            steep += float(np.square(slope).sum())
    return along / steep / 2 if steep else 0.0


def _mean_patches(
    images: np.ndarray, keypoints: np.ndarray, points: Sequence[int], radius: int, beside: float
) -> dict[int, np.ndarray]:
    """Mean patch, of equal brightness and contrast, `beside` pixels left of each point's labels."""
    sides = (2 * radius + 1, 2 * radius + 1)
    sums = {k: np.zeros(sides) for k in points}
    counts = dict.fromkeys(points, 0)
    # A pixel more on each side: interpolation looks at it.
    far = np.array(images.shape[2:0:-1]) - radius - 2
    for image, labels in zip(images, keypoints, strict=True):
        for k in points:
            x, y = float(labels[k, 0]) - beside, float(labels[k, 1])
            if not (radius + 1 <= x <= far[0] and radius + 1 <= y <= far[1]):
                continue  # NaN too
            patch = cv2.getRectSubPix(image, sides, (x, y), patchType=cv2.CV_32F)
            if (contrast := patch.std()) >= _FLAT:
                sums[k] += (patch - patch.mean()) / contrast
                counts[k] += 1
    return {k: sums[k] / counts[k] for k in points if counts[k] >= _FEWEST}


def _grey(images: np.ndarray) -> np.ndarray:
    """Images as uint8 (n, h, w); lazy ones are read, some at a time."""
    if images.shape[3] == 1 and isinstance(images, np.ndarray):
        return images[..., 0]
    grey = np.empty(images.shape[:3], np.uint8)
    for first in range(0, len(images), 256):
        part = np.asarray(images[first : first + 256])
        grey[first : first + 256] = part.mean(axis=-1, dtype=np.float32).round()
    return grey
