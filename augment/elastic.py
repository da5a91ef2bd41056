"""Elastic deformation as a sum of random plane waves.

Simard et al. (2003) smooth a random displacement of every pixel. A sum of a few waves of random
direction, length and phase is such a smooth random field too, but one with a formula: keypoints
move exactly, and a grid of displacements is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

from kfkd.augment.draws import Draws
from kfkd.augment.transforms import Transform
from kfkd.errors import KfkdError
from kfkd.lazy import keras

_WAVES = 6
_STEPS = 16
_STEEPEST = 0.04
"""Of amount / wave: where waves are steeper, the image may fold over itself."""


@dataclass(frozen=True)
class Elastic(Transform):
    """Bends the image smoothly.

    Args:
        amount: root mean square of the displacement in x and in y, as a share of the width.
        wave: shortest wave, as a share of the width; the longest is twice that.
        p: share of the images.

    Raises:
        KfkdError: also when waves so short and high would fold the image over itself.
    """

    amount: float
    wave: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("amount", 0, 0.2)
        self.want("wave", 0.05, 10)
        if self.amount > _STEEPEST * self.wave:
            raise KfkdError(
                f"elastic wants amount <= {_STEEPEST * self.wave:g} for wave={self.wave:g}, or the "
                f"image folds over itself. Received: {self.amount!r}"
            )

    def waves(self, draws: Draws, size: tuple[int, int]) -> Waves:
        """A field of displacements for each image.

        Args:
            draws: a stream for each of n images.
            size: (h, w) of the images in pixels.
        """
        width = float(size[1])
        length = draws.log_uniform(self.wave * width, 2 * self.wave * width, _WAVES)
        direction = draws.uniform(0.0, 2 * pi, _WAVES)
        phase = draws.uniform(0.0, 2 * pi, 2, _WAVES)
        number = 2 * pi / length
        height = self.amount * width * float(np.sqrt(2 / _WAVES))
        return Waves(
            number * keras.ops.cos(direction),
            number * keras.ops.sin(direction),
            height * keras.ops.cos(phase),
            height * keras.ops.sin(phase),
        )


def check_folds(transforms: Sequence[Elastic]) -> None:
    """Refuses elastic transforms that one image may get together and that would fold it.

    Args:
        transforms: those of one branch of a mix; their waves add up.

    Raises:
        KfkdError: saying how steep they are together.
    """
    steep = sum(t.amount / t.wave for t in transforms)
    if steep > _STEEPEST * (1 + 1e-9):
        told = ", ".join(map(str, transforms))
        raise KfkdError(
            f"elastic transforms of one branch want amount / wave <= {_STEEPEST:g} in sum, or the "
            f"image folds over itself. Received: {steep:.3g} from {told:.300}"
        )


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves for each of n images.

    Args:
        x: (n, waves), radians a pixel in x.
        y: (n, waves), radians a pixel in y.
        cos: (n, 2, waves), height times the cosine of the phase, for displacements in x and in y.
        sin: likewise with the sine.
    """

    x: Any
    y: Any
    cos: Any
    sin: Any

    def scaled(self, factor: Any) -> Waves:
        """The field times a number for each image, (n,)."""
        factor = keras.ops.reshape(factor, (-1, 1, 1))
        return Waves(self.x, self.y, self.cos * factor, self.sin * factor)

    def of(self, rows: Any) -> Waves:
        """The fields of some of the images; rows int32 (m,)."""
        parts = (self.x, self.y, self.cos, self.sin)
        return Waves(*(keras.ops.take(part, rows, axis=0) for part in parts))

    def joined(self, other: Waves) -> Waves:
        """The sum of two fields."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Waves(*(keras.ops.concatenate(pair, axis=-1) for pair in pairs))

    def grid(self, xs: np.ndarray, ys: np.ndarray) -> tuple[Any, Any]:
        """Displacements on a grid of points.

        Args:
            xs: (w,), coordinates of its columns from the centre.
            ys: (h,), of its rows.

        Returns:
            Displacements in x and in y, each (n, h, w).
        """
        ops = keras.ops
        angle_x = ops.expand_dims(self.x, -1) * xs
        angle_y = ops.expand_dims(self.y, 1) * ys[:, None]
        columns = ops.concatenate([ops.cos(angle_x), ops.sin(angle_x)], axis=1)
        cos_y, sin_y = ops.cos(angle_y), ops.sin(angle_y)

        def displacement(axis: int) -> Any:
            cos, sin = (ops.expand_dims(part[:, axis], 1) for part in (self.cos, self.sin))
            with_cos, with_sin = cos * cos_y - sin * sin_y, -cos * sin_y - sin * cos_y
            return ops.matmul(ops.concatenate([with_cos, with_sin], axis=-1), columns)

        return displacement(0), displacement(1)

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Displacements at points, each (n, k).

        Args:
            x: (n, k), coordinates from the centre.
            y: likewise.
        """
        ops = keras.ops
        angle = ops.expand_dims(x, -1) * ops.expand_dims(self.x, 1)
        angle = angle + ops.expand_dims(y, -1) * ops.expand_dims(self.y, 1)
        cos, sin = ops.cos(angle), ops.sin(angle)
        both = [
            ops.sum(cos * self.cos[:, None, axis] - sin * self.sin[:, None, axis], axis=-1)
            for axis in (0, 1)
        ]
        return both[0], both[1]

    def undo(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Points whose displaced places are given: q with q + d(q) = (x, y).

        Args:
            x: (n, k), coordinates from the centre.
            y: likewise.
        """
        here_x, here_y = x, y
        for _ in range(_STEPS):
            by_x, by_y = self.at(here_x, here_y)
            here_x, here_y = x - by_x, y - by_y
        return here_x, here_y
