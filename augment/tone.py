"""Transforms of brightness values alone: a pixel's new value does not depend on where it is.

Except in `Clahe`, whose curves differ from tile to tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.augment.draws import Draws
from kfkd.augment.transforms import Photometric, per_image
from kfkd.errors import KfkdError
from kfkd.lazy import keras

_LEVELS = 256


@dataclass(frozen=True)
class Brightness(Photometric):
    """Makes the image brighter or darker by a constant.

    Args:
        share: the largest change, drawn from ±share × 255 grey levels.
        p: share of the images.
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("share", 0, 1)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        return images + per_image(draws.uniform(-255.0 * self.share, 255.0 * self.share))


@dataclass(frozen=True)
class Contrast(Photometric):
    """Stretches or squeezes the values about the image's own mean.

    Args:
        low: smallest factor; factors are drawn with a uniform logarithm.
        high: largest factor.
        p: share of the images.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_range("low", "high", 0.01, 100)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        mean = keras.ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return mean + (images - mean) * per_image(draws.log_uniform(self.low, self.high))


@dataclass(frozen=True)
class Gamma(Photometric):
    """Raises the values, as shares of 255, to a power: above 1 darkens, below 1 brightens.

    Args:
        low: smallest exponent; exponents are drawn with a uniform logarithm.
        high: largest exponent.
        p: share of the images.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_range("low", "high", 0.01, 100)

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        exponent = per_image(draws.log_uniform(self.low, self.high))
        return 255.0 * keras.ops.power(keras.ops.clip(images, 0.0, 255.0) / 255.0, exponent)


@dataclass(frozen=True)
class Equalize(Photometric):
    """Spreads the values so that all 256 grey levels become about equally frequent.

    The rule of `skimage.exposure.equalize_hist`, which the Kaggle study used: a level becomes 255
    times the share of pixels at or below it, so an image of one level, even black, becomes
    white. Values are rounded to whole levels first; channels are counted together.

    Args:
        p: share of the images.
    """

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        count, *size = images.shape
        places = _levels(images) + _firsts(count)
        sums = keras.ops.cumsum(_histograms(places, count), axis=-1)
        curves = keras.ops.cast(sums, "float32") * (255.0 / int(np.prod(size)))
        return keras.ops.take(keras.ops.reshape(curves, (-1,)), places, axis=0)


@dataclass(frozen=True)
class Clahe(Photometric):
    """Equalises tile by tile, with limited contrast, by the rules of OpenCV's `createCLAHE`.

    Between the tiles' centres, values are interpolated from the nearest four tiles' curves. An
    image whose sides are not multiples of `tiles` is, for the histograms, mirrored at the right
    and at the bottom. Channels are counted together. Values are rounded to whole levels first,
    the curves are not, so the result is within one level of OpenCV's.

    Args:
        clip: largest frequency of a level, as a multiple of its mean; what is above is spread
            over all levels.
        tiles: tiles a side; an image must have more pixels a side.
        p: share of the images.
    """

    clip: float = 2.0
    tiles: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("clip", 0.01, _LEVELS)
        self.want("tiles", 1, 64)
        if not isinstance(self.tiles, int):
            raise KfkdError(f"{self.name} wants a whole number of tiles. Received: {self.tiles!r}")

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        levels = _levels(images)
        height, width = images.shape[1:3]
        self.want_sides(images, self.tiles + 1 if self.tiles > 1 else 1)
        missing = [self.tiles - side % self.tiles for side in (height, width)]
        if missing == [self.tiles] * 2:
            missing = [0, 0]
        tile = ((height + missing[0]) // self.tiles, (width + missing[1]) // self.tiles)
        around = ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0))
        curves = self._curves(keras.ops.pad(levels, around, mode="reflect"), tile)
        return _interpolated(levels, curves, tile)

    def _curves(self, levels: Any, tile: tuple[int, int]) -> Any:
        """New values of all levels in each tile, (n, tiles, tiles, 256)."""
        count, height, width, channels = levels.shape
        rows, columns = np.arange(height) // tile[0], np.arange(width) // tile[1]
        groups = (rows[:, None] * self.tiles + columns)[..., None]
        places = levels + (groups * _LEVELS).astype(np.int32) + _firsts(count, self.tiles**2)
        histograms = _histograms(places, count * self.tiles**2)
        pixels = tile[0] * tile[1] * channels
        limit = max(int(self.clip * pixels / _LEVELS), 1)
        sums = keras.ops.cumsum(_limited(histograms, limit), axis=-1)
        curves = keras.ops.cast(sums, "float32") * (255.0 / pixels)
        return keras.ops.reshape(curves, (count, self.tiles, self.tiles, _LEVELS))


def _levels(images: Any) -> Any:
    return keras.ops.cast(keras.ops.clip(keras.ops.round(images), 0.0, 255.0), "int32")


def _firsts(count: int, groups: int = 1) -> np.ndarray:
    """Where each image's histograms start in a row of all of them, int32 (n, 1, 1, 1)."""
    return (np.arange(count) * (groups * _LEVELS)).astype(np.int32)[:, None, None, None]


def _histograms(places: Any, groups: int) -> Any:
    """How often each level occurs in each group of pixels, int32 (groups, 256).

    Args:
        places: int32, each pixel's group × 256 + level.
        groups: how many groups.
    """
    places = keras.ops.reshape(places, (-1,))
    ones = keras.ops.ones_like(places)
    counts = keras.ops.segment_sum(ones, places, num_segments=groups * _LEVELS)
    return keras.ops.reshape(counts, (groups, _LEVELS))


def _limited(histograms: Any, limit: int) -> Any:
    """Histograms cut off at a limit, the excess spread over all levels.

    What does not go evenly into 256 levels goes to every second, third, … level from 0 on; with
    tiles of few pixels OpenCV's choice of levels is seen in the picture.
    """
    ops = keras.ops
    kept = ops.minimum(histograms, limit)
    excess = ops.sum(histograms - kept, axis=-1, keepdims=True)
    rest = ops.mod(excess, _LEVELS)
    stride = ops.maximum(ops.floor_divide(_LEVELS, ops.maximum(rest, 1)), 1)
    level = np.arange(_LEVELS, dtype=np.int32)
    chosen = ops.logical_and(ops.equal(ops.mod(level, stride), 0), level < rest * stride)
    return kept + ops.floor_divide(excess, _LEVELS) + ops.cast(chosen, "int32")


def _interpolated(levels: Any, curves: Any, tile: tuple[int, int]) -> Any:
    """New values, interpolated between the curves of the nearest four tiles.

    Args:
        levels: int32 (n, h, w, c).
        curves: float32 (n, tiles, tiles, 256).
        tile: height and width of a tile in pixels.
    """
    ops = keras.ops
    count, height, width, _ = levels.shape
    tiles = curves.shape[1]
    near = np.clip(np.arange(-1, tiles + 1), 0, tiles - 1).astype(np.int32)
    for axis in (1, 2):
        pair = [ops.take(curves, part, axis=axis) for part in (near[:-1], near[1:])]
        curves = ops.stack(pair, axis=-1)
    # All four values of a level side by side, so that a pixel fetches them at once.
    table = ops.reshape(curves, (-1, 4))
    (row, down), (column, across) = _cells(height, tile[0]), _cells(width, tile[1])
    cells = (row[:, None] * (tiles + 1) + column)[..., None] * np.int32(_LEVELS)
    found = ops.take(table, levels + cells + _firsts(count, (tiles + 1) ** 2), axis=0)
    weights = np.einsum("yi,xj->yxij", down, across).reshape(height, width, 1, 4)
    return ops.sum(found * weights, axis=-1)


def _cells(length: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Between which tiles' centres each pixel lies, (length,), and their weights, (length, 2)."""
    place = np.arange(length, dtype=np.float32) / np.float32(tile) - np.float32(0.5)
    share = place - np.floor(place)
    return np.floor(place).astype(np.int32) + 1, np.stack([1 - share, share], axis=-1)
