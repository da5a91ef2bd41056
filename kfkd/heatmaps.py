"""The heatmap codec: a map with a Gaussian for each keypoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np

from kfkd.errors import KfkdError, UnknownName
from kfkd.gaussians import DECODERS, gaussian_maps
from kfkd.lazy import keras

_LEAST_WINDOW = 5
"""Cells along an axis: decoders between cells need so many at the map's border, and one σ."""


@dataclass(frozen=True)
class Heatmap:
    """The network answers with a map for each keypoint; targets have a Gaussian there.

    Batches carry keypoints in pixels; their maps are made in the loss, on the device, and never
    stored. A keypoint without a label, or off the image, has a map of NaN, which losses leave out.

    Args:
        stride: pixels of the image to a cell of the map, along each axis.
        sigma: standard deviation of the Gaussian in pixels of the image; at least half a cell.
        decoder: "dark" and "soft_argmax" give points between cells (see `kfkd.gaussians`);
            "top_k" nearly so, and far off at the image's border; "argmax" is off by up to half a
            cell along each axis.
        window: side in pixels of the square that holds all of the Gaussian, five cells and σ at
            least; None = the whole map. Below 3.5σ "top_k" is off by more.
        height: of the Gaussian's peak. A Gaussian whose cells add up to 1, as cv2's kernels do, is
            1 / (2πσ²) high: that far down nothing is learned, see docs/results/heatmaps.md.

    Raises:
        KfkdError: when a number makes no sense.
        UnknownName: when there is no such decoder.
    """

    stride: int = 1
    sigma: float = 2.0
    decoder: str = "dark"
    window: float | None = None
    height: float = 1.0

    def __post_init__(self) -> None:
        whole = isinstance(self.stride, int) and self.stride >= 1
        numbers = all(
            isinstance(v, int | float) and 0 < v < inf
            for v in (self.sigma, self.window or 1, self.stride, self.height)
        )
        narrow = (
            self.window is not None
            and numbers
            and self.window < max(_LEAST_WINDOW * self.stride, self.sigma)
        )
        if not whole or not numbers or narrow or self.sigma < self.stride / 2:
            raise KfkdError(
                "a heatmap wants a whole stride from 1, sigma from half of it, a window from "
                f"{_LEAST_WINDOW} times the stride and from sigma, or None, a height above 0. "
                f"Received: {self!r}"
            )
        if self.decoder not in DECODERS:
            raise UnknownName("decoder of heatmaps", str(self.decoder), list(DECODERS))

    def encode(self, keypoints: Any, size: tuple[int, int]) -> Any:
        """Maps of keypoints.

        Args:
            keypoints: (n, k, 2) in pixels of the image.
            size: (h, w) of the maps in cells.

        Returns:
            float32 (n, h, w, k).
        """
        cells = (keras.ops.cast(keypoints, "float32") - self._first) / self.stride
        maps = gaussian_maps(cells, size, self.sigma / self.stride, self._window)
        return maps if self.height == 1 else maps * self.height

    def decode(self, maps: Any) -> Any:
        """Keypoints of maps.

        Args:
            maps: (n, h, w, k), of targets or of a network.

        Returns:
            float32 (n, k, 2) in pixels of the image; NaN for a map that holds a NaN.
        """
        ops = keras.ops
        maps = ops.cast(maps, "float32")
        broken = ops.any(ops.isnan(maps), axis=(1, 2))
        maps = ops.where(ops.isnan(maps), 0.0, maps) / self.height
        cells = DECODERS[self.decoder](maps, self.sigma / self.stride, self._window)
        pixels = cells * self.stride + self._first
        return ops.where(broken[..., None], np.float32(np.nan), pixels)

    @property
    def _window(self) -> float | None:
        """The window's side in cells."""
        return None if self.window is None else self.window / self.stride

    @property
    def _first(self) -> float:
        """Where the first cell's centre lies along an axis of the image, in pixels."""
        return (self.stride - 1) / 2

    def targets(self, keypoints: Any) -> Any:
        """What a batch carries for the loss: keypoints in pixels, (n, 2k)."""
        return keras.ops.reshape(keypoints, (-1, 2 * keypoints.shape[1]))

    def truth(self, targets: Any) -> Any:
        """The keypoints (n, k, 2) in pixels of what a batch carries."""
        return keras.ops.reshape(targets, (-1, targets.shape[1] // 2, 2))

    def loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """A loss on maps as a loss on what a batch carries: it makes the targets' maps itself."""

        def on_maps(targets: Any, maps: Any) -> Any:
            return loss(self.encode(self.truth(targets), maps.shape[1:3]), maps)

        return on_maps

    def outputs(self, keypoints: int) -> int:
        """How many maps the network gives for `keypoints` keypoints."""
        return keypoints

    def output_shape(self, outputs: int, image: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the network's answer to one image of shape (h, w, c)."""
        height, width = (-(-side // self.stride) for side in image[:2])
        return (height, width, outputs)

    def config(self) -> dict[str, Any]:
        """The codec as plain data, for `codec_from`."""
        return {"codec": "heatmap", **asdict(self)}
