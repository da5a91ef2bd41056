"""Codecs: pairs of functions between keypoints in pixels and a network's targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from kfkd.errors import KfkdError, UnknownName
from kfkd.heatmaps import Heatmap
from kfkd.integral import Integral
from kfkd.lazy import keras

__all__ = ["Codec", "Coordinates", "Heatmap", "Integral", "changed_codec", "codec_from"]


@dataclass(frozen=True)
class Coordinates:
    """The network answers with the coordinates themselves, x0, y0, x1, y1, …, shifted and scaled.

    Args:
        offset: what is subtracted, in pixels; one number, or one for x and one for y.
        scale: what the rest is divided by, in pixels; likewise.

    Raises:
        KfkdError: when they are not finite numbers, scale above 0.

    Example:
        >>> Coordinates(offset=(-0.5, -0.5), scale=(80, 60)).outputs(1)  # shares of 80×60 pixels
        2
    """

    offset: float | tuple[float, float] = 0.0
    scale: float | tuple[float, float] = 1.0

    def __post_init__(self) -> None:
        for name in ("offset", "scale"):
            value = getattr(self, name)
            if isinstance(value, list):  # as JSON has it
                object.__setattr__(self, name, tuple(value))
        if not _numbers(self.offset) or not _numbers(self.scale, above=0):
            raise KfkdError(f"a codec wants finite numbers, scale above 0. Received: {self!r}")

    def encode(self, keypoints: Any) -> Any:
        """Targets of keypoints.

        Args:
            keypoints: (n, k, 2) in pixels; NaN stays NaN.

        Returns:
            Tensor (n, 2k).
        """
        width = 2 * keypoints.shape[1]
        flat = keras.ops.reshape(keypoints, (-1, width))
        return (flat - _row(self.offset, width)) / _row(self.scale, width)

    def decode(self, targets: Any) -> Any:
        """Keypoints of targets or of a network's outputs.

        Args:
            targets: (n, 2k).

        Returns:
            Tensor (n, k, 2) in pixels.
        """
        width = targets.shape[1]
        pixels = targets * _row(self.scale, width) + _row(self.offset, width)
        return keras.ops.reshape(pixels, (-1, width // 2, 2))

    def targets(self, keypoints: Any) -> Any:
        """What a batch carries for the loss: here the encoded keypoints."""
        return self.encode(keypoints)

    def truth(self, targets: Any) -> Any:
        """The keypoints (n, k, 2) in pixels of what a batch carries."""
        return self.decode(targets)

    def loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """A loss on encoded targets as a loss on what a batch carries: here the same."""
        return loss

    def outputs(self, keypoints: int) -> int:
        """How many numbers the network gives for `keypoints` keypoints."""
        return 2 * keypoints

    def output_shape(self, outputs: int, image: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the network's answer to one image of shape (h, w, c)."""
        return (outputs,)

    def config(self) -> dict[str, Any]:
        """The codec as plain data, for `codec_from`."""
        return {"codec": "coordinates", **asdict(self)}


def _numbers(value: Any, above: float = -inf) -> bool:
    values = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    return all(isinstance(v, int | float) and isfinite(v) and v > above for v in values)


def _row(value: float | tuple[float, float], width: int) -> Any:
    """A number as it is; a pair as often as it takes for `width` coordinates."""
    return np.resize(np.asarray(value, np.float32), width) if isinstance(value, tuple) else value


Codec = Coordinates | Heatmap | Integral
"""What a network's answer means."""

_CODECS: dict[str, type[Codec]] = {
    "coordinates": Coordinates,
    "heatmap": Heatmap,
    "integral": Integral,
}


def codec_from(config: dict[str, Any]) -> Codec:
    """The codec that `config()` described.

    Raises:
        UnknownName: when no codec has that name.
        KfkdError: when a number makes no sense.
    """
    settings = dict(config)
    name = settings.pop("codec", "")
    if name not in _CODECS:
        raise UnknownName("codec", str(name), list(_CODECS))
    return _CODECS[name](**settings)


def changed_codec(codec: Codec, changes: Mapping[str, Any] | None) -> Codec:
    """A codec with some of its settings changed.

    Args:
        codec: an entry's.
        changes: settings by name, such as {"sigma": 3.0}; "codec" names another kind, which then
            starts from its own defaults.

    Raises:
        UnknownName: when there is no such kind, or the kind has no such setting.
        KfkdError: when a number makes no sense.

    Example:
        >>> changed_codec(Heatmap(sigma=10.0), {"sigma": 3.0}).sigma
        3.0
    """
    if not changes:
        return codec
    own = codec.config()
    start = {} if changes.get("codec", own["codec"]) != own["codec"] else own
    config = {**start, **changes}
    known = set(getattr(_CODECS.get(config["codec"]), "__dataclass_fields__", changes)) | {"codec"}
    for key in changes:
        if key not in known:
            raise UnknownName(f"setting of the codec {config['codec']}", key, sorted(known))
    return codec_from(config)
