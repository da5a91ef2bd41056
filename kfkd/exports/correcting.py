"""Linear corrections inside an exported model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kfkd.linear_correction import MOST


def corrected_points(points: Any, correction: np.ndarray) -> Any:
    """Points as the labels would have them: `kfkd.linear_correction.corrected` in a graph.

    Args:
        points: float32 (n, p, 2) in pixels.
        correction: (2p, 2p + 1).
    """
    ops, flat = keras.ops, (-1, correction.shape[0])
    about = points - ops.mean(points, axis=1, keepdims=True)
    sizes = ops.sqrt(ops.mean(ops.square(ops.reshape(about, flat)), axis=1, keepdims=True))
    sizes = ops.maximum(sizes, 1e-6)
    weights, constant = correction[:, :-1].T, correction[:, -1]
    wanted = ops.matmul(ops.reshape(about, flat) / sizes, weights.astype(np.float32))
    added = sizes * ops.clip(wanted + constant.astype(np.float32), -MOST, MOST)
    return points + ops.reshape(added, (-1, *points.shape[1:]))
