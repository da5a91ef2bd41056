"""Hides parts of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.augment.draws import Draws
from kfkd.augment.transforms import Photometric, per_image
from kfkd.errors import KfkdError
from kfkd.lazy import keras

_MOST = 12
"""Rectangles an image: each takes five draws, and a transform has 64 of its own."""


@dataclass(frozen=True)
class CutOut(Photometric):
    """Hides rectangles, each under one grey value of 0 to 255.

    A rectangle's centre may lie anywhere in the image, so parts may lie outside. Keypoints under
    a rectangle stay labelled: a net shall learn to tell them from what is around.

    Args:
        low: smallest side, as a share of the width or of the height; both sides are drawn.
        high: largest side.
        patches: rectangles an image, 12 at most.
        p: share of the images.
    """

    low: float
    high: float
    patches: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_range("low", "high", 0, 1)
        self.want("patches", 1, _MOST)
        if not isinstance(self.patches, int):
            raise KfkdError(
                f"{self.name} wants a whole number of patches. Received: {self.patches!r}"
            )

    def apply(self, images: Any, draws: Draws) -> Any:
        """As `Photometric.apply`."""
        height, width = images.shape[1:3]
        for _ in range(self.patches):
            rows, columns = self._within(draws, height), self._within(draws, width)
            hidden = keras.ops.logical_and(rows[:, :, None, None], columns[:, None, :, None])
            images = keras.ops.where(hidden, per_image(draws.uniform(0.0, 255.0)), images)
        return images

    def _within(self, draws: Draws, length: int) -> Any:
        """Which of an axis' pixels a rectangle hides, (n, length)."""
        side = draws.uniform(self.low, self.high)[:, None] * float(length)
        centre = draws.uniform(-0.5, length - 0.5)[:, None]
        return keras.ops.abs(np.arange(length, dtype=np.float32) - centre) < side / 2.0
