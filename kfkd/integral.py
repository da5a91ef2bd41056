"""The integral codec: maps whose softmax says where a point may lie, and its mean where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np

from kfkd.errors import KfkdError
from kfkd.lazy import keras


@dataclass(frozen=True)
class Integral:
    """The network answers with a map of scores a keypoint; its point is the mean of their softmax.

    After Sun et al., "Integral human pose regression" (2018). The mean is what makes a squared
    error least where a net is in doubt, it lies between cells, and its gradient reaches all of
    the map. Around the image lies a margin of cells, so that points at its border are within reach.

    Args:
        stride: pixels of the image to a cell, along each axis.
        margin: cells around the image, along each side.
        map_share: how much a cross entropy counts beside the loss on points: it draws the map
            towards a Gaussian around the label.
        sigma: of that Gaussian, in pixels.

    Raises:
        KfkdError: when a number makes no sense.
    """

    stride: int = 4
    margin: int = 1
    map_share: float = 0.0
    sigma: float = 4.0

    def __post_init__(self) -> None:
        whole = all(isinstance(v, int) for v in (self.stride, self.margin))
        real = all(
            isinstance(v, int | float) and 0 <= v < inf for v in (self.map_share, self.sigma)
        )
        if not whole or not real or self.stride < 1 or self.margin < 0 or not self.sigma:
            raise KfkdError(
                "an integral codec wants a whole stride from 1, a whole margin from 0, a map_share "
                f"from 0 and a sigma above 0. Received: {self!r}"
            )

    def centres(self, cells: int) -> np.ndarray:
        """Where the cells of a row or column lie, float32 (cells,), in pixels of the image."""
        first = (self.stride - 1) / 2 - self.margin * self.stride
        return first + self.stride * np.arange(cells, dtype=np.float32)

    def shares(self, maps: Any) -> Any:
        """The softmax of each map.

        Args:
            maps: (n, h, w, k), scores.

        Returns:
            float32 (n, h · w, k); each map adds up to 1.
        """
        ops = keras.ops
        _, height, width, k = maps.shape
        flat = ops.reshape(ops.cast(maps, "float32"), (-1, height * width, k))
        return ops.softmax(flat, axis=1)

    def decode(self, maps: Any) -> Any:
        """Keypoints of maps.

        Args:
            maps: (n, h, w, k), scores.

        Returns:
            float32 (n, k, 2) in pixels of the image.
        """
        return keras.ops.einsum("nck,cd->nkd", self.shares(maps), self._places(maps.shape))

    def spread(self, maps: Any) -> Any:
        """How far each map is spread around its point: the net's own doubt.

        Args:
            maps: (n, h, w, k), scores.

        Returns:
            float32 (n, k), the standard deviation along an axis, in pixels.
        """
        ops, shares, places = keras.ops, self.shares(maps), self._places(maps.shape)
        mean = ops.einsum("nck,cd->nkd", shares, places)
        square = ops.einsum("nck,cd->nkd", shares, places**2)
        return ops.sqrt(ops.maximum(ops.mean(square - ops.square(mean), axis=-1), 0.0))

    def _places(self, shape: tuple[int, ...]) -> np.ndarray:
        """(x, y) of each cell, float32 (h · w, 2)."""
        x, y = np.meshgrid(self.centres(shape[2]), self.centres(shape[1]))
        return np.stack([x.ravel(), y.ravel()], axis=-1)

    def encode(self, keypoints: Any, size: tuple[int, int]) -> Any:
        """The shares that the cross entropy wants: a Gaussian around each keypoint.

        Args:
            keypoints: (n, k, 2) in pixels of the image, none of them NaN.
            size: (h, w) of the maps in cells.

        Returns:
            float32 (n, h · w, k); each map adds up to 1.
        """
        ops = keras.ops
        bells = []
        for axis, cells in ((1, size[0]), (0, size[1])):
            apart = self.centres(cells)[None, :, None] - ops.expand_dims(keypoints[..., axis], 1)
            bells.append(ops.softmax(-ops.square(apart) / (2 * self.sigma**2), axis=1))
        maps = ops.expand_dims(bells[0], 2) * ops.expand_dims(bells[1], 1)
        return ops.reshape(maps, (-1, size[0] * size[1], keypoints.shape[1]))

    def targets(self, keypoints: Any) -> Any:
        """What a batch carries for the loss: keypoints in pixels, (n, 2k)."""
        return keras.ops.reshape(keypoints, (-1, 2 * keypoints.shape[1]))

    def truth(self, targets: Any) -> Any:
        """The keypoints (n, k, 2) in pixels of what a batch carries."""
        return keras.ops.reshape(targets, (-1, targets.shape[1] // 2, 2))

    def loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """A loss on points in pixels as a loss on maps, with the cross entropy's share."""

        def on_maps(targets: Any, maps: Any) -> Any:
            truth = self.truth(targets)
            found = loss(truth, self.decode(maps))
            return found + self.map_share * self._entropy(truth, maps) if self.map_share else found

        return on_maps

    def _entropy(self, truth: Any, maps: Any) -> Any:
        """Mean cross entropy of the maps with both coordinates labelled."""
        ops = keras.ops
        truth = ops.cast(truth, "float32")
        known = ops.logical_not(ops.any(ops.isnan(truth), axis=-1))
        wanted = self.encode(ops.where(known[..., None], truth, 0.0), maps.shape[1:3])
        flat = ops.reshape(ops.cast(maps, "float32"), (-1, *wanted.shape[1:]))
        each = -ops.sum(wanted * ops.log_softmax(flat, axis=1), axis=1)
        count = ops.maximum(ops.sum(ops.cast(known, "float32")), 1.0)
        return ops.sum(ops.where(known, each, 0.0)) / count

    def outputs(self, keypoints: int) -> int:
        """How many maps the network gives for `keypoints` keypoints."""
        return keypoints

    def output_shape(self, outputs: int, image: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the network's answer to one image of shape (h, w, c)."""
        height, width = (-(-side // self.stride) + 2 * self.margin for side in image[:2])
        return (height, width, outputs)

    def config(self) -> dict[str, Any]:
        """The codec as plain data, for `codec_from`."""
        return {"codec": "integral", **asdict(self)}
