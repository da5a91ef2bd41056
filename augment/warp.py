"""Resampling: pixels fetched from where they come from, by one bilinear interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from kfkd.lazy import keras

BORDERS = ("constant", "edge", "reflect")


def fetch(images: Any, x: Any, y: Any, border: str, fill: float) -> Any:
    """Images sampled at any places.

    Args:
        images: (n, h, w, c), uint8 or float32.
        x: (n, h2, w2), columns to sample, in pixels of the image.
        y: likewise, rows.
        border: what lies outside: "constant", "edge" (the nearest pixel) or "reflect" (mirrored
            about the outermost pixels' centres).
        fill: the constant.

    Returns:
        float32 (n, h2, w2, c).
    """
    ops = keras.ops
    pixels = ops.cast(images, "float32")
    if border == "constant":
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        pixels, x, y = ops.pad(pixels, around, constant_values=fill), x + 1.0, y + 1.0
    n, height, width, channels = pixels.shape
    if border == "reflect":
        x, y = _folded(x, width), _folded(y, height)
    # NaN-free by clipping; the last column and row are repeated, so that each has a neighbour.
    x, y = ops.clip(x, 0.0, width - 1.0), ops.clip(y, 0.0, height - 1.0)
    left, top = ops.floor(x), ops.floor(y)
    right = ops.concatenate([pixels[:, :, 1:], pixels[:, :, -1:]], axis=2)
    pairs = ops.concatenate([pixels, right], axis=-1)
    below = ops.concatenate([pairs[:, 1:], pairs[:, -1:]], axis=1)
    squares = ops.reshape(ops.concatenate([pairs, below], axis=-1), (-1, 4 * channels))
    first = np.arange(n, dtype=np.int32)[:, None, None] * (height * width)
    places = ops.cast(top, "int32") * width + ops.cast(left, "int32") + first
    found = ops.take(squares, places, axis=0)
    a, b, c, d = (found[..., i * channels : (i + 1) * channels] for i in range(4))
    across, down = ops.expand_dims(x - left, -1), ops.expand_dims(y - top, -1)
    upper, lower = a + (b - a) * across, c + (d - c) * across
    return upper + (lower - upper) * down


def _folded(places: Any, length: int) -> Any:
    last = max(length - 1.0, 0.5)
    return last - keras.ops.abs(last - keras.ops.mod(places, 2 * last))
