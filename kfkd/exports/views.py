"""Test-time views inside a graph: the same images and the same mean as `kfkd.views`, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kfkd.lazy import keras
from kfkd.views import Views, zoomed

_STEPS = 32
"""OpenCV's interpolation has so many places between two pixels."""


def seen_images(images: Any, views: Views, mirrored: bool) -> Any:
    """All views of images, one view after the other.

    Args:
        images: float32 (n, h, w, c), whole numbers.
        views: zooms and whether mirror images count.
        mirrored: whether the points have mirror images.

    Returns:
        Tensor (v · n, h, w, c).
    """
    made = []
    for scale in views.scales:
        one = images if scale == 1 else _zoomed(images, scale)
        made += [one, one[:, :, ::-1]] if views.flip and mirrored else [one]
    return made[0] if len(made) == 1 else keras.ops.concatenate(made, axis=0)


def mean_points(
    points: Any, views: Views, mirror: Sequence[int] | None, size: tuple[int, int]
) -> Any:
    """Points of all views brought back into the images as they are, and averaged.

    Args:
        points: (v · n, k, 2) in pixels of the views of `seen_images`, or (v · n, k, 3) with their
            doubts.
        views: those views.
        mirror: for each point the one it becomes in a mirror image; None = no mirror images.
        size: (h, w) of the images.

    Returns:
        Tensor (n, k, 2), or (n, k, 3): doubts have the views' disagreement in them.
    """
    sides = (None, mirror) if views.flip and mirror is not None else (None,)
    kinds = [(scale, side) for scale in views.scales for side in sides]
    if kinds == [(1, None)]:
        return points
    found = keras.ops.reshape(points, (len(kinds), -1, *points.shape[1:]))
    back = [_back(found[i], *kind, size) for i, kind in enumerate(kinds)]
    mean = sum(back[1:], back[0]) / len(back)
    return mean if points.shape[-1] == 2 else _with_disagreement(back, mean)


def _with_disagreement(back: Sequence[Any], mean: Any) -> Any:
    """Means (n, k, 3) with the variance between views added to the mean one within them."""
    square, places = keras.ops.square, mean[..., :2]
    within = [square(one[..., 2:]) for one in back]
    apart = [keras.ops.mean(square(one[..., :2] - places), -1, keepdims=True) for one in back]
    every = [*within, *apart]
    doubts = keras.ops.sqrt(sum(every[1:], every[0]) / len(back))
    return keras.ops.concatenate([places, doubts], axis=-1)


def _back(points: Any, scale: float, mirror: Sequence[int] | None, size: tuple[int, int]) -> Any:
    height, width = size
    if mirror is not None:
        turned = keras.ops.take(points, np.array(mirror, np.int32), axis=1)
        columns = points.shape[-1]
        signs, shift = [-1, 1, 1][:columns], [width - 1, 0, 0][:columns]
        points = turned * np.array(signs, np.float32) + np.array(shift, np.float32)
    if scale == 1:
        return points
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 0], np.float32)[: points.shape[-1]]
    return centre + (points - centre) / np.float32(scale)


def _zoomed(images: Any, scale: float) -> Any:
    """Images as `kfkd.views.zoomed` makes them, to the last bit."""
    down, across = zoom_weights(tuple(images.shape[1:3]), scale)
    seen = keras.ops.einsum("hy,nywc->nhwc", down, images)
    # Sums of 1024ths are exact in float32; OpenCV rounds halves up.
    return keras.ops.floor(keras.ops.einsum("wx,nhxc->nhwc", across, seen) + 0.5)


def zoom_weights(size: tuple[int, int], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """How much each row and column of an image counts in each row and column of its zoom.

    They are read off what OpenCV makes of single lines, so that its roundings are in them.

    Args:
        size: (h, w).
        scale: as of `kfkd.views.zoomed`.

    Returns:
        float32 (h, h) and (w, w), multiples of 1/32; every row adds up to 1.
    """
    height, width = size
    rows = 255 * np.eye(height, dtype=np.uint8)[:, :, None, None]
    columns = 255 * np.eye(width, dtype=np.uint8)[:, None, :, None]
    down = zoomed(np.repeat(rows, 3, axis=2), scale)[:, :, 1, 0]
    across = zoomed(np.repeat(columns, 3, axis=1), scale)[:, 1, :, 0]
    first, second = (np.rint(seen.T * (_STEPS / 255)) / _STEPS for seen in (down, across))
    return first.astype(np.float32), second.astype(np.float32)
