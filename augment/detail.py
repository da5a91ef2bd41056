"""Transforms of fine detail: sharper, softer, noisier, compressed."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi
from typing import Any

import numpy as np

from kfkd.augment.draws import Draws
from kfkd.augment.transforms import Photometric, per_image
from kfkd.lazy import keras

_TRUNCATE = 4
"""A Gaussian's weights end after this many standard deviations, as scipy's do."""

_COSINES = np.cos(np.outer(np.arange(8), np.arange(1, 16, 2)) * (pi / 16)) / 2
_COSINES[0] /= 2**0.5
_DCT = np.kron(_COSINES, _COSINES).astype(np.float32)
"""A block's 64 pixels → its 64 coefficients; an orthogonal matrix."""

_LUMINANCE = np.array(
    [
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ],
    np.float32,
).reshape(64)
"""Annex K of the JPEG standard, for quality 50."""


@dataclass(frozen=True)
class Blur(Photometric):
    """Blurs with a Gaussian; beyond the border the image is mirrored.

    Args:
        low: smallest standard deviation, pixels.
        high: largest; None: all images get `low`.
        p: share of the images.
    """

    low: float
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("low", 0, 20)
        if self.high is not None:
            self.want_range("low", "high", 0, 20)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        most = self.low if self.high is None else self.high
        return _blurred(images, draws.uniform(self.low, most), most)


@dataclass(frozen=True)
class MotionBlur(Photometric):
    """Smears along a straight line of random direction, as far forwards as backwards.

    Args:
        length: longest line, pixels, at most 15: the work grows
            with its square. The shortest is 1, which changes nothing.
        p: share of the images.
    """

    length: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("length", 1, 15)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        ops = keras.ops
        radius = ceil((self.length - 1) / 2)
        self.want_sides(images, radius)
        half = (draws.uniform(1.0, self.length) - 1.0) / 2.0
        angle = draws.uniform(0.0, pi)
        # Points on the line half a pixel apart, each shared out between its nearest pixels.
        along = np.linspace(-1, 1, 4 * radius + 1, dtype=np.float32)[:, None]
        pixels = np.arange(-radius, radius + 1, dtype=np.float32)

        def shares(direction: Any) -> Any:
            places = ops.reshape(half * direction, (-1, 1, 1)) * along
            return ops.maximum(1.0 - ops.abs(pixels - places), 0.0)

        rows, columns = shares(ops.sin(angle)), shares(ops.cos(angle))
        total = ops.sum(rows[:, :, :, None] * columns[:, :, None, :], axis=1)
        return convolve(images, total / float(len(along)))


@dataclass(frozen=True)
class Sharpen(Photometric):
    """Adds the difference to a blurred copy (Gaussian, 1 pixel): an unsharp mask.

    Args:
        amount: the largest multiple of the difference; the smallest is 0.
        p: share of the images.
    """

    amount: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("amount", 0, 10)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        blurred = _blurred(images, draws.uniform(1.0, 1.0), 1.0)
        return images + (images - blurred) * per_image(draws.uniform(0.0, self.amount))


@dataclass(frozen=True)
class Noise(Photometric):
    """Adds Gaussian noise, independent in every pixel and channel.

    Args:
        low: smallest standard deviation, grey levels; without `high` the largest, from 0.
        high: largest standard deviation.
        p: share of the images.
    """

    low: float
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("low", 0, 255)
        if self.high is not None:
            self.want_range("low", "high", 0, 255)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        low, high = (0.0, self.low) if self.high is None else (self.low, self.high)
        return images + draws.normal(*images.shape[1:]) * per_image(draws.uniform(low, high))


@dataclass(frozen=True)
class Jpeg(Photometric):
    """Loses what JPEG compression loses: rounds cosine coefficients of 8×8 blocks.

    Every channel is compressed as a grey image: the luminance table, no colour transform, no
    subsampling. Sides that are no multiples of 8 are continued by their last pixels.

    Args:
        low: lowest quality on libjpeg's scale from 1 to 100.
        high: highest quality.
        p: share of the images.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_range("low", "high", 1, 100)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        ops = keras.ops
        count, height, width, channels = images.shape
        down, across = -(-height // 8), -(-width // 8)
        steps = _steps(draws.uniform(self.low, self.high))
        pixels = _continued(_continued(images, 1, 8 * down), 2, 8 * across)
        blocks = ops.reshape(pixels, (count, down, 8, across, 8, channels))
        blocks = ops.reshape(ops.transpose(blocks, (0, 1, 3, 5, 2, 4)), (count, -1, 64))
        found = ops.matmul(blocks - 128.0, _DCT.T)
        blocks = ops.matmul(ops.round(found / steps) * steps, _DCT) + 128.0
        blocks = ops.reshape(blocks, (count, down, across, channels, 8, 8))
        pixels = ops.transpose(blocks, (0, 1, 4, 2, 5, 3))
        pixels = ops.reshape(pixels, (count, 8 * down, 8 * across, channels))
        return pixels[:, :height, :width]


def _steps(quality: Any) -> Any:
    """What coefficients are multiples of, by libjpeg's rule, (n, 1, 64).

    Args:
        quality: (n,).
    """
    ops = keras.ops
    # libjpeg divides integers; the small surplus keeps quotients from falling below a whole one.
    percent = ops.where(quality < 50.0, 5000.0 / quality, 200.0 - 2.0 * quality)
    percent = ops.reshape(ops.floor(percent + 1e-3), (-1, 1, 1))
    return ops.clip(ops.floor((_LUMINANCE * percent + 50.5) / 100.0), 1.0, 255.0)


def _continued(images: Any, axis: int, length: int) -> Any:
    had = images.shape[axis]
    if had == length:
        return images
    places = np.minimum(np.arange(length, dtype=np.int32), np.int32(had - 1))
    return keras.ops.take(images, places, axis=axis)


def _blurred(images: Any, sigma: Any, most: float) -> Any:
    """Images blurred by a Gaussian.

    Args:
        images: float32 (n, h, w, c).
        sigma: standard deviations in pixels, (n,).
        most: the largest that is possible.
    """
    radius = min(ceil(_TRUNCATE * most), *images.shape[1:3])
    weights = gaussian(sigma, radius)
    return convolve(convolve(images, weights[:, :, None]), weights[:, None, :])


def gaussian(sigma: Any, radius: int) -> Any:
    """A Gaussian's weights at whole places, of sum 1, (n, 2 radius + 1).

    Args:
        sigma: standard deviations, (n,).
        radius: the last place with a weight.
    """
    places = np.arange(-radius, radius + 1, dtype=np.float32)
    shares = places / keras.ops.expand_dims(keras.ops.maximum(sigma, 1e-3), -1)
    weights = keras.ops.exp(-0.5 * shares * shares)
    return weights / keras.ops.sum(weights, axis=-1, keepdims=True)


def convolve(images: Any, kernels: Any) -> Any:
    """Images, each weighted with its own kernel; beyond the border they are mirrored.

    A sum of shifted images, which XLA makes one loop of; its grouped convolutions are slow on CPU.

    Args:
        images: float32 (n, h, w, c).
        kernels: (n, rows, columns), both odd and at most twice the image's.
    """
    ops = keras.ops
    count, height, width, channels = images.shape
    rows, columns = kernels.shape[1:]
    down, across = rows // 2, columns // 2
    padded = ops.pad(images, ((0, 0), (down, down), (across, across), (0, 0)), mode="symmetric")
    # With channels inside the rows, loops over three channels need not be the innermost.
    padded = ops.reshape(padded, (count, height + 2 * down, -1))
    total: Any = 0.0
    for row in range(rows):
        for first in range(0, columns * channels, channels):
            shifted = padded[:, row : row + height, first : first + width * channels]
            total = total + shifted * kernels[:, row, None, first // channels, None]
    return ops.reshape(total, images.shape)
