"""Looking thoroughly: turned both ways, from further and from nearer, where time does not matter.

A net answers a little differently when the same face is turned or zoomed by a little, and its
errors there are only partly the same: the looks are weighed by their doubts into one answer. A look
that finds the face in another place, as happens to small ones, is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kfkd.lazy import cv2
from kfkd.second_looks import brought_back, weighed
from kfkd.views import moved

LOOKS = ((-10.0, 1.0), (10.0, 1.0), (0.0, 0.8), (0.0, 1.25))
"""Degrees counter-clockwise and zoom about the image's centre of each look beside the usual one."""
ELSEWHERE = 0.05
"""Of the image's width, root mean square over points and axes: from there it is another face."""


def looked_thoroughly(images: np.ndarray, answer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Points in the weighed mean of all looks.

    Args:
        images: uint8 (n, h, w, c).
        answer: images → float32 (n, k, 3), x, y and their doubt in pixels, NaN = unknown doubt:
            the usual answer, a second look and all.

    Returns:
        float32 (n, k, 3); the doubt is the usual answer's, which is what calibrations know.
    """
    usual = answer(images)
    others = (_look(images, answer, *look) for look in LOOKS)
    looks = [usual, *(_of_that_face(look, usual, images.shape[2]) for look in others)]
    return np.concatenate([weighed(looks)[..., :2], usual[..., 2:]], axis=-1).astype(np.float32)


def _of_that_face(look: np.ndarray, usual: np.ndarray, width: int) -> np.ndarray:
    """A look, the usual one for images in which it found another face."""
    apart = np.sqrt(np.square(look[..., :2] - usual[..., :2]).mean(axis=(1, 2)))
    return np.where((apart > ELSEWHERE * width)[:, None, None], usual, look)


def _look(
    images: np.ndarray, answer: Callable[[np.ndarray], np.ndarray], degrees: float, zoom: float
) -> np.ndarray:
    height, width = images.shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, zoom)
    matrices = np.broadcast_to(matrix, (len(images), 2, 3))
    return brought_back(answer(moved(images, matrices)), matrices)
