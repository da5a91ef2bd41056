"""The peak of each map: its highest cell, and the place between cells that a Gaussian has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kfkd.lazy import keras

_TINY = 1e-20


def argmax_points(maps: Any, sigma: float, window: float | None = None) -> Any:
    """The highest cell of each map: off by up to half a cell along each axis.

    Args:
        maps: float32 (n, h, w, k) without NaN.
        sigma: of the Gaussians in cells; not used.
        window: side of the square that holds all of a Gaussian, in cells; not used.

    Returns:
        float32 (n, k, 2), (x, y) in cells.
    """
    ops = keras.ops
    _, height, width, k = maps.shape
    flat = ops.reshape(maps, (-1, height * width, k))
    # Of whole numbers: of others Keras tells 0 from -0 by their bits, which exported models cannot.
    highest = ops.cast(flat >= ops.max(flat, axis=1, keepdims=True), "int32")
    best = ops.argmax(highest, axis=1)
    x, y = ops.mod(best, width), ops.floor_divide(best, width)
    return ops.cast(ops.stack([x, y], axis=-1), "float32")


def dark_points(maps: Any, sigma: float, window: float | None = None) -> Any:
    """The highest cell moved to the peak of the parabola through the log map around it.

    After Zhang et al., "Distribution-aware coordinate representation for human pose estimation"
    (DARK, 2020): the logarithm of a Gaussian is a parabola, so this is exact up to the map's edge.
    In place of the paper's smoothing, differences are taken over σ instead of one cell (ours), over
    less where a window cuts the Gaussians off nearer than that.

    Args:
        maps: float32 (n, h, w, k) without NaN; values below 1e-20 count as that.
        sigma: of the Gaussians in cells.
        window: side of the square that holds all of a Gaussian, in cells; None = the whole map.

    Returns:
        float32 (n, k, 2), (x, y) in cells; the highest cell where there is no peak within 2σ.
    """
    ops = keras.ops
    _, height, width, _ = maps.shape
    step = min(max(1, round(sigma)), (min(height, width) - 1) // 2)
    if window is not None:
        # Of a point at the map's edge the farthest value that is looked at is 2 · step + 0.5 away.
        step = min(step, int((window / 2 - 0.5) // 2))
    peak = argmax_points(maps, sigma)
    if step < 1:
        return peak
    last = np.asarray([width - 1 - step, height - 1 - step], np.float32)
    centre = ops.minimum(ops.maximum(peak, float(step)), last)
    move, curved = _newton(_logs_around(maps, centre, step))
    move = move * step
    trusted = ops.logical_and(curved, ops.all(ops.absolute(move) <= 2 * step + 1, axis=-1))
    return ops.where(trusted[..., None], centre + move, peak)


def _logs_around(maps: Any, centre: Any, step: int) -> list[Any]:
    """Log map at nine places `step` apart, row by row, each (n, k)."""
    ops = keras.ops
    _, height, width, k = maps.shape
    flat = ops.reshape(maps, (-1, height * width, k))
    middle = ops.cast(centre[..., 1] * width + centre[..., 0], "int32")
    offsets = [(dy * width + dx) * step for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    places = ops.stack([middle + offset for offset in offsets], axis=1)
    values = ops.log(ops.maximum(ops.take_along_axis(flat, places, axis=1), _TINY))
    return [values[:, i] for i in range(9)]


def _newton(f: list[Any]) -> tuple[Any, Any]:
    """Newton's step to the extremum of the parabola through nine values, and where it is a peak."""
    ops = keras.ops
    slope_x, slope_y = (f[5] - f[3]) / 2, (f[7] - f[1]) / 2
    bend_x, bend_y = f[5] - 2 * f[4] + f[3], f[7] - 2 * f[4] + f[1]
    twist = (f[8] - f[6] - f[2] + f[0]) / 4
    determinant = bend_x * bend_y - ops.square(twist)
    curved = ops.logical_and(determinant > _TINY, bend_x < 0)
    determinant = ops.where(curved, determinant, 1.0)
    x = (twist * slope_y - bend_y * slope_x) / determinant
    y = (twist * slope_x - bend_x * slope_y) / determinant
    return ops.stack([x, y], axis=-1), curved
