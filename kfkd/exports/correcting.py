"""Corrections inside an exported model."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import keras
import numpy as np

from kfkd.correction import Correction
from kfkd.linear_correction import MOST
from kfkd.smooth_correction import LEAST_DOUBT, WIDTH, SmoothCorrection


def corrected_points(points: Any, correction: Correction) -> Any:
    """Points as the labels would have them: `Correction.corrected` in a graph.

    Args:
        points: float32 (n, p, 2) in pixels, or (n, p, 3) with their doubts; without them all count
            as doubted as usual.
        correction: of p points.

    Returns:
        Tensor (n, p, 2).
    """
    places, doubts = points[..., :2], points[..., 2:]
    if correction.linear is not None:
        places = _linear(places, correction.linear.astype(np.float32))
    return places if correction.smooth is None else _smooth(places, doubts, correction.smooth)


def _linear(points: Any, correction: np.ndarray) -> Any:
    shapes, sizes, _ = _shapes(points)
    return _moved(points, sizes, keras.ops.matmul(shapes, correction[:, :-1].T), correction[:, -1])


def _smooth(points: Any, doubts: Any, correction: SmoothCorrection) -> Any:
    ops, count = keras.ops, points.shape[1]
    shapes, sizes, middle = _shapes(points)
    parts = [shapes, middle, ops.log(sizes)]
    if correction.doubts and doubts.shape[-1]:
        parts.append(ops.log(ops.reshape(doubts, (-1, count)) / sizes + LEAST_DOUBT))
    mean, scale, centres, weights, constant = (
        np.asarray(array, np.float32) for array in astuple(correction)
    )
    known = ops.concatenate(parts, axis=1)
    given = (known - mean[: known.shape[1]]) * scale[: known.shape[1]]
    if unknown := len(mean) - known.shape[1]:
        given = ops.pad(given, ((0, 0), (0, unknown)))
    squares = ops.sum(ops.square(given), axis=1, keepdims=True) + np.square(centres).sum(axis=1)
    apart = ops.maximum(squares - 2 * ops.matmul(given, centres.T), 0.0)
    return _moved(points, sizes, ops.matmul(ops.exp(-WIDTH * apart), weights), constant)


def _shapes(points: Any) -> tuple[Any, Any, Any]:
    """Shapes (n, 2p), sizes (n, 1) and middles (n, 2) of points."""
    ops, flat = keras.ops, (-1, 2 * points.shape[1])
    middle = ops.mean(points, axis=1, keepdims=True)
    about = ops.reshape(points - middle, flat)
    sizes = ops.maximum(ops.sqrt(ops.mean(ops.square(about), axis=1, keepdims=True)), 1e-6)
    return about / sizes, sizes, middle[:, 0]


def _moved(points: Any, sizes: Any, wanted: Any, constant: np.ndarray) -> Any:
    added = sizes * keras.ops.clip(wanted + constant, -MOST, MOST)
    return points + keras.ops.reshape(added, (-1, *points.shape[1:]))
