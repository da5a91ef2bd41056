"""Maps with a Gaussian at each keypoint, and four ways back to the point; backend-free.

Everything here counts in cells of the map, origin at the centre of the top-left cell; the codec
`kfkd.heatmaps.Heatmap` turns cells into pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kfkd.lazy import keras
from kfkd.peaks import argmax_points, dark_points

_TINY = 1e-20
_STEPS = 5
"""Newton's: all are within 0.001 cells then, down to a σ of half a cell at the image's border."""
_LEAST = 0.02
"""Of a Gaussian's variance; the least that an edge leaves is 0.07."""


def gaussian_maps(
    points: Any, size: tuple[int, int], sigma: float, window: float | None = None
) -> Any:
    """One map a point, a Gaussian whose peak is 1.

    Args:
        points: (n, k, 2), (x, y) in cells.
        size: (h, w) of the map in cells.
        sigma: standard deviation in cells.
        window: side in cells of the square that holds all of the Gaussian; None = the whole map.

    Returns:
        float32 (n, h, w, k); NaN all over the map of a point that is NaN or off the map, so that
        masked losses leave it out.
    """
    ops = keras.ops
    points = ops.cast(points, "float32")
    last = np.asarray([size[1] - 0.5, size[0] - 0.5], np.float32)
    inside = ops.logical_and(points >= -0.5, points <= last)
    known = ops.all(inside, axis=-1)
    points = ops.where(inside, points, 0.0)
    across = _bells(points[..., 0], size[1], sigma, window)
    down = _bells(points[..., 1], size[0], sigma, window)
    maps = ops.expand_dims(down, 2) * ops.expand_dims(across, 1)
    return ops.where(known[:, None, None, :], maps, np.float32(np.nan))


def _bells(at: Any, length: int, sigma: float, window: float | None) -> Any:
    """Gaussians along one axis, (n, length, k), around positions (n, k)."""
    distance = _cells(length)[None, :, None] - keras.ops.expand_dims(at, 1)
    bells = keras.ops.exp(-keras.ops.square(distance) / (2 * sigma**2))
    if window is None:
        return bells
    return keras.ops.where(keras.ops.absolute(distance) <= window / 2, bells, 0.0)


def _cells(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)


def soft_argmax_points(maps: Any, sigma: float, window: float | None = None) -> Any:
    """The mean place around the peak, weighted by a softmax of the log map.

    The softmax narrows the Gaussian to half its width, but not below what the cells can carry, so
    that no second face pulls. Cells within four of these widths of the highest one count, fewer
    where a window cuts Gaussians off. Where the map's edge cuts some off, the mean lies too far
    inside; the answer is the place of the Gaussian that, cut off there, has this mean.

    Args:
        maps: float32 (n, h, w, k) without NaN; values below 0 count as 0.
        sigma: of the Gaussians in cells.
        window: side of the square that holds all of a Gaussian, in cells; None = the whole map.

    Returns:
        float32 (n, k, 2), (x, y) in cells; the highest cell where no value is above 0.
    """
    ops = keras.ops
    width = min(max(0.75, sigma / 2), sigma)
    peak = argmax_points(maps, sigma)
    highest = ops.max(maps, axis=(1, 2), keepdims=True)
    share = ops.maximum(maps, 0.0) / ops.maximum(highest, _TINY)
    weights = ops.power(share, (sigma / width) ** 2)
    # The highest cell is up to half a cell away from the window's middle.
    reach = 4 * width if window is None else min(4 * width, window / 2 - 0.5)
    down = _near(peak[..., 1], maps.shape[1], reach)
    across = _near(peak[..., 0], maps.shape[2], reach)
    weights = weights * ops.expand_dims(down, 2) * ops.expand_dims(across, 1)
    mass = ops.sum(weights, axis=(1, 2))
    x = _uncut(_mean(ops.sum(weights, axis=1)), across, width)
    y = _uncut(_mean(ops.sum(weights, axis=2)), down, width)
    return ops.where((mass > 0)[..., None], ops.stack([x, y], axis=-1), peak)


def _mean(weights: Any) -> Any:
    """Mean cell (n, k) by weights (n, length, k)."""
    ops = keras.ops
    moment = ops.sum(weights * _cells(weights.shape[1])[None, :, None], axis=1)
    return moment / ops.maximum(ops.sum(weights, axis=1), _TINY)


def _uncut(mean: Any, near: Any, width: float) -> Any:
    """Where a Gaussian stands of which the cells `near` (n, length, k) have this mean (n, k).

    Newton's method: a Gaussian's mean over any cells grows with its place by their variance / σ².
    Their skew at an edge makes the steps come from inside, each nearer than the last.
    """
    ops = keras.ops
    length = near.shape[1]
    at = mean
    for _ in range(_STEPS):
        bells = _bells(at, length, width, None) * near
        found = _mean(bells)
        off = ops.square(_cells(length)[None, :, None] - ops.expand_dims(found, 1))
        variance = ops.sum(bells * off, axis=1) / ops.maximum(ops.sum(bells, axis=1), _TINY)
        at = at + (mean - found) * width**2 / ops.maximum(variance, _LEAST * width**2)
        at = ops.minimum(ops.maximum(at, -0.5), length - 0.5)  # of the image, as all targets are
    return at


def _near(at: Any, length: int, reach: float) -> Any:
    distance = _cells(length)[None, :, None] - keras.ops.expand_dims(at, 1)
    return keras.ops.cast(keras.ops.absolute(distance) <= reach, "float32")


def top_k_points(maps: Any, sigma: float, window: float | None = None) -> Any:
    """The mean of the highest cells, 4σ² of them, as published heatmap nets for Kaggle's faces do.

    Each cell weighs by how far it stands above the highest one left out (ours: equal weights jump
    whenever a cell enters). Off by up to 0.15 cells away from the edge. Nearer to it than 1.1σ, as
    far as those cells reach, a point comes out too far inside: by 0.7σ (0.65 cells at least) at it.

    Args:
        maps: float32 (n, h, w, k) without NaN.
        sigma: of the Gaussians in cells; 4σ² cells stand above 0.6 of the peak.
        window: side of the square that holds all of a Gaussian, in cells; not used: below 3.5σ it
            holds fewer cells than that, and points come out off by more.

    Returns:
        float32 (n, k, 2), (x, y) in cells.
    """
    ops = keras.ops
    _, height, width, k = maps.shape
    count = min(max(5, round(4 * sigma**2)), height * width - 1)
    flat = ops.transpose(ops.reshape(maps, (-1, height * width, k)), (0, 2, 1))
    values, cells = ops.top_k(flat, count + 1)
    weights = values[..., :count] - values[..., count:]
    cells = cells[..., :count]
    mass = ops.sum(weights, axis=-1)
    places = [ops.mod(cells, width), ops.floor_divide(cells, width)]
    means = [ops.sum(ops.cast(place, "float32") * weights, axis=-1) for place in places]
    mean = ops.stack(means, axis=-1) / ops.maximum(mass, _TINY)[..., None]
    return ops.where((mass > 0)[..., None], mean, argmax_points(maps, sigma))


DECODERS: Mapping[str, Callable[[Any, float, float | None], Any]] = {
    "dark": dark_points,
    "soft_argmax": soft_argmax_points,
    "top_k": top_k_points,
    "argmax": argmax_points,
}
"""Ways from a map to a point by name, each `(maps, sigma, window)` → (n, k, 2) in cells."""
