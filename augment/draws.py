"""Random numbers for augmentation: a pure function of seed, step, image and draw.

A counter-based generator in `keras.ops`, so that the same draw gives the same number inside
tf.data, on an accelerator and under every backend; Keras' own generators take no tensor as seed.
The mixing function is "lowbias32" of Chris Wellons' hash-prospector.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from kfkd.lazy import keras

_STRETCH = 64
"""More draws than any one transform makes."""

_BYTES_SPREAD = sqrt(4 * (256**2 - 1) / 12)
"""Standard deviation of the sum of four random bytes."""


class Draws:
    """A stream of random numbers for each image of a batch.

    Args:
        seed: int32 (2,), the training's seed and the step.
        images: numbers of the images, int32 (n,); an image's draws depend on its own number only.
        stream: which draw comes next.
    """

    def __init__(self, seed: Any, images: Any, stream: int = 0) -> None:
        self.seed, self.images, self.stream = seed, images, stream

    def of(self, rows: Any) -> Draws:
        """The draws of some of the images, a stretch of these set aside for them.

        Args:
            rows: int32 (m,), indices into the batch.
        """
        part = Draws(self.seed, keras.ops.take(self.images, rows), self.stream)
        self.stream += _STRETCH
        return part

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> Any:
        """Uniform numbers in [low, high), float32 (n, *shape)."""
        bits = keras.ops.right_shift(self._bits(*shape), _u32(8))
        return low + (high - low) * (keras.ops.cast(bits, "float32") * 2.0**-24)

    def log_uniform(self, low: float, high: float, *shape: int) -> Any:
        """Numbers in [low, high) whose logarithm is uniform, float32 (n, *shape)."""
        return keras.ops.exp(self.uniform(float(np.log(low)), float(np.log(high)), *shape))

    def normal(self, *shape: int) -> Any:
        """Nearly normal numbers, float32 (n, *shape): the sum of four bytes, at most ±3.46."""
        bits, byte = self._bits(*shape), _u32(255)
        total = keras.ops.bitwise_and(bits, byte)
        for shift in (8, 16, 24):
            shifted = keras.ops.right_shift(bits, _u32(shift))
            total = total + keras.ops.bitwise_and(shifted, byte)
        return (keras.ops.cast(total, "float32") - 510.0) / _BYTES_SPREAD

    def one(self) -> Any:
        """One uniform number in [0, 1) for the whole batch, float32 ()."""
        bits = keras.ops.right_shift(self._key(), _u32(8))
        return keras.ops.cast(bits, "float32") * 2.0**-24

    def _key(self) -> Any:
        self.stream += 1
        seed = keras.ops.cast(self.seed, "uint32")
        return _mixed(_mixed(_mixed(seed[0]) + seed[1]) + _u32(self.stream))

    def _bits(self, *shape: int) -> Any:
        images = keras.ops.cast(self.images, "uint32")
        bits = _mixed(self._key() + images * _u32(0x9E3779B9))
        if not shape:
            return bits
        places = keras.ops.cast(keras.ops.arange(prod(shape), dtype="int32"), "uint32")
        grid = bits[:, None] + places[None] * _u32(0x85EBCA6B)
        return keras.ops.reshape(_mixed(grid), (-1, *shape))


def _u32(number: int) -> Any:
    return np.uint32(number)


def _mixed(x: Any) -> Any:
    """Every bit of the result depends on every bit of `x`, uint32."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = keras.ops.bitwise_xor(x, keras.ops.right_shift(x, _u32(shift))) * _u32(factor)
    return keras.ops.bitwise_xor(x, keras.ops.right_shift(x, _u32(16)))


def ranks(values: Any) -> Any:
    """The place of each value in ascending order, float32 (n,); equal ones in their order.

    By comparing all pairs: for batches that is as fast as sorting, and compiles in no time.

    Args:
        values: (n,).
    """
    n = values.shape[0]
    mine, other = values[:, None], values[None]
    earlier = np.arange(n)[None] < np.arange(n)[:, None]
    tied = keras.ops.logical_and(keras.ops.equal(other, mine), earlier)
    return _count(keras.ops.logical_or(other < mine, tied))


def first(on: Any, most: int) -> Any:
    """Indices of the rows that are on, in order, filled up with others to `most`, int32 (most,).

    Args:
        on: bool (n,).
        most: how many, from 0 to n.
    """
    n = on.shape[0]
    places = ranks(keras.ops.where(on, 0.0, 1.0))
    there = keras.ops.equal(places[None], np.arange(most, dtype=np.float32)[:, None])
    return keras.ops.sum(keras.ops.cast(there, "int32") * np.arange(n, dtype=np.int32), axis=1)


def _count(marks: Any) -> Any:
    return keras.ops.sum(keras.ops.cast(marks, "float32"), axis=1)
