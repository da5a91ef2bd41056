"""How fast a device multiplies large matrices: what a training's speed is measured against."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from kfkd.lazy import keras


def matrix_rate(dtype: str, seconds: float = 0.1) -> float:
    """How many operations a second the device does on products of large square matrices.

    Args:
        dtype: "float32", "bfloat16" or "float16".
        seconds: matrices grow until one product takes as long, or has 8,192 rows.

    Returns:
        Floating-point operations a second, the best of all sizes.
    """
    best, side, took = 0.0, 512, 0.0
    while side < 8192 and took < seconds:
        side *= 2
        drawn = np.random.default_rng(side).uniform(-1, 1, (side, side))
        one = keras.ops.cast(keras.ops.convert_to_tensor(drawn.astype(np.float32)), dtype)
        took = min(_product_time(one, times) for times in (1, 1, 4, 4))
        best = max(best, 2 * side**3 / took)
    return best


def _product_time(one: Any, times: int) -> float:
    began = time.perf_counter()
    found = one
    for _ in range(times):
        found = keras.ops.matmul(one, one)
    keras.ops.convert_to_numpy(found[0, 0])  # waits for the device, which works in order
    return (time.perf_counter() - began) / times
