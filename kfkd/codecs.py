"""Codecs: pairs of functions between keypoints in pixels and a network's targets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from kfkd.errors import KfkdError, UnknownName
from kfkd.lazy import keras


@dataclass(frozen=True)
class Coordinates:
    """The network answers with the coordinates themselves, x0, y0, x1, y1, …, shifted and scaled.

    Args:
        offset: what is subtracted, in pixels.
        scale: what the rest is divided by, in pixels.

    Raises:
        KfkdError: when they are not finite numbers, scale above 0.
    """

    offset: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        numbers = all(isinstance(v, int | float) for v in (self.offset, self.scale))
        if not numbers or not isfinite(self.offset) or not 0 < self.scale < inf:
            raise KfkdError(f"a codec wants finite numbers, scale above 0. Received: {self!r}")

    def encode(self, keypoints: Any) -> Any:
        """Targets of keypoints.

        Args:
            keypoints: (n, k, 2) in pixels; NaN stays NaN.

        Returns:
            Tensor (n, 2k).
        """
        return (
            keras.ops.reshape(keypoints, (-1, 2 * keypoints.shape[1])) - self.offset
        ) / self.scale

    def decode(self, targets: Any) -> Any:
        """Keypoints of targets or of a network's outputs.

        Args:
            targets: (n, 2k).

        Returns:
            Tensor (n, k, 2) in pixels.
        """
        return keras.ops.reshape(targets * self.scale + self.offset, (-1, targets.shape[1] // 2, 2))

    def outputs(self, keypoints: int) -> int:
        """How many numbers the network gives for `keypoints` keypoints."""
        return 2 * keypoints

    def config(self) -> dict[str, Any]:
        """The codec as plain data, for `codec_from`."""
        return {"codec": "coordinates", **asdict(self)}


def codec_from(config: dict[str, Any]) -> Coordinates:
    """The codec that `config()` described.

    Raises:
        UnknownName: when no codec has that name.
    """
    settings = dict(config)
    name = settings.pop("codec", "")
    if name != "coordinates":
        raise UnknownName("codec", name, ["coordinates"])
    return Coordinates(**settings)
