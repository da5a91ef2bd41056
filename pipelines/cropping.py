"""Crops of photos, each by one interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kfkd.errors import KfkdError
from kfkd.lazy import cv2

_LARGEST = 4096
"""Most pixels a side that a crop is sampled with before it is averaged down."""


def crop_faces(
    pixels: np.ndarray, matrices: Sequence[np.ndarray], size: tuple[int, int], channels: int
) -> np.ndarray:
    """Crops faces out of an image; beyond its edge its outermost pixels go on.

    Args:
        pixels: uint8 (h, w, 3), RGB.
        matrices: n maps (2, 3) from the image's pixels to the crop's, see
            `kfkd.crop_maps.crop_matrix`.
        size: (height, width) of the crops.
        channels: 1 = grey (luminance), 3 = RGB.

    Returns:
        uint8 (n, height, width, channels).

    Raises:
        KfkdError: when there are other numbers of channels.
    """
    if channels not in (1, 3):
        raise KfkdError(f"crops have 1 or 3 channels. Received: {channels}")
    crops = np.empty((len(matrices), *size, channels), np.uint8)
    for crop, matrix in zip(crops, matrices, strict=True):
        colour = _crop(pixels, matrix, size)
        crop[:] = colour if channels == 3 else cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[..., None]
    return crops


def _crop(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One warp; a face larger than the crop is sampled at k × k places a pixel, and averaged."""
    height, width = size
    shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    k = int(np.clip(np.ceil(shrink - 0.01), 1, max(1, _LARGEST // max(size))))
    fine = matrix * k
    fine[:, 2] += (k - 1) / 2  # pixel centres of the finer grid
    warped = cv2.warpAffine(
        pixels,
        fine,
        (width * k, height * k),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if k == 1:
        return warped
    return cv2.resize(warped, (width, height), interpolation=cv2.INTER_AREA)
