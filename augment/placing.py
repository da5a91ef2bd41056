"""Where the pixels and keypoints of a batch go: one matrix, then a deformation, for each image."""

from __future__ import annotations

from typing import Any

import numpy as np

from kfkd.augment.draws import Draws
from kfkd.augment.elastic import Elastic, Waves
from kfkd.augment.geometry import Flip, inverse, moved
from kfkd.augment.mixing import Frame
from kfkd.augment.transforms import Geometric, Photometric
from kfkd.augment.turns import Turn
from kfkd.augment.warp import fetch
from kfkd.lazy import keras


class Placing:
    """Where the pixels and keypoints of a batch go.

    Args:
        size: (h, w) of the images in pixels.
        into: (h, w) of the result.
        n: how many images.
    """

    def __init__(self, size: tuple[int, int], into: tuple[int, int], n: int) -> None:
        self.size, self.into, self.most = size, into, 0
        scale = np.diag([into[1] / size[1], into[0] / size[0], 1]).astype(np.float32)
        self._rest = keras.ops.tile(np.eye(3, dtype=np.float32)[None], (n, 1, 1))
        self._scale, self.matrix = scale, self._rest
        self.mirrored = self.active = keras.ops.zeros((n,), dtype="bool")
        self.waves: Waves | None = None

    def add(self, turn: Turn, draws: Draws) -> None:
        """Adds what a transform of geometry does; a photometric one does nothing."""
        transform = turn.transform
        if isinstance(transform, Photometric):
            return
        if isinstance(transform, Elastic):
            waves = transform.waves(draws, self.into)
            waves = waves.scaled(keras.ops.cast(turn.on, "float32"))
            self.waves = waves if self.waves is None else self.waves.joined(waves)
        elif isinstance(transform, Geometric):
            matrix = transform.matrix(draws, self.size)
            matrix = keras.ops.where(turn.on[:, None, None], matrix, self._rest)
            self.matrix = keras.ops.matmul(matrix, self.matrix)
        if isinstance(transform, Flip) and transform.swap:
            self.mirrored = keras.ops.logical_xor(self.mirrored, turn.on)
        self.active = keras.ops.logical_or(self.active, turn.on)
        self.most += turn.most

    def of(self, rows: Any) -> Placing:
        """The same for some of the images; rows int32 (m,)."""
        part = Placing(self.size, self.into, rows.shape[0])
        part.matrix = keras.ops.take(self.matrix, rows, axis=0)
        part.waves = self.waves and self.waves.of(rows)
        return part

    def points(self, keypoints: Any) -> Any:
        """Keypoints (n, k, 2) where they go, names as they were."""
        (x0, y0), (x1, y1) = _centre(self.size), _centre(self.into)
        matrix = keras.ops.matmul(self._scale, self.matrix)
        x, y = moved(matrix, keypoints[..., 0] - x0, keypoints[..., 1] - y0)
        if self.waves is not None:
            x, y = self.waves.undo(x, y)
        return keras.ops.stack([x + x1, y + y1], axis=-1)

    def fetch(self, images: Any, frame: Frame) -> Any:
        """The resampled images, float32 (n, *into, c)."""
        (x0, y0), (x1, y1) = _centre(self.size), _centre(self.into)
        xs = np.arange(self.into[1], dtype=np.float32) - x1
        ys = np.arange(self.into[0], dtype=np.float32) - y1
        x, y = xs[None, None, :], ys[None, :, None]
        if self.waves is not None:
            by_x, by_y = self.waves.grid(xs, ys)
            x, y = x + by_x, y + by_y
        x, y = moved(inverse(keras.ops.matmul(self._scale, self.matrix)), x, y)
        return fetch(images, x + x0, y + y0, frame.border, frame.fill)


def _centre(size: tuple[int, int]) -> tuple[float, float]:
    return (size[1] - 1) / 2, (size[0] - 1) / 2
