"""What a transform is: its share of the images, and the two kinds, geometry and photometry."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any

from kfkd.augment.draws import Draws
from kfkd.errors import KfkdError
from kfkd.lazy import keras


@dataclass(frozen=True)
class Transform:
    """A transform of images, each with its own parameters.

    Args:
        p: share of the images it is applied to, in [0, 1].

    Raises:
        KfkdError: when a number is out of its range.
    """

    p: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        self.want("p", 0, 1)

    def want(self, name: str, least: float, most: float) -> None:
        """Refuses a number that is not in [least, most].

        Raises:
            KfkdError: naming transform, argument, what was received and what was wanted.
        """
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not isfinite(value) or not least <= value <= most:
            raise KfkdError(
                f"{self.name} wants {name} in [{least:g}, {most:g}]. Received: {value!r}"
            )

    def want_flag(self, name: str) -> None:
        """Refuses what is neither True nor False; a word would be taken for True.

        Raises:
            KfkdError: as `want`.
        """
        if not isinstance(value := getattr(self, name), bool):
            raise KfkdError(f"{self.name} wants {name} True or False. Received: {value!r}")

    def want_range(self, low: str, high: str, least: float, most: float) -> None:
        """Refuses two numbers that are not a range inside [least, most].

        Raises:
            KfkdError: as `want`.
        """
        self.want(low, least, most)
        self.want(high, least, most)
        if getattr(self, low) > getattr(self, high):
            raise KfkdError(
                f"{self.name} wants {low} <= {high}. Received: "
                f"{getattr(self, low)!r}, {getattr(self, high)!r}"
            )

    def want_sides(self, images: Any, least: int) -> None:
        """Refuses images that are too small for it.

        Args:
            images: (n, h, w, c).
            least: pixels that height and width want.

        Raises:
            KfkdError: naming transform, what was received and what was wanted.
        """
        height, width = images.shape[1:3]
        if min(height, width) < least:
            raise KfkdError(
                f"{self} wants images of {least} pixels a side at least. Received: {height}×{width}"
            )

    @property
    def name(self) -> str:
        """How a mix calls it: `MotionBlur` → `motion_blur`."""
        letters = type(self).__name__
        return "".join(f"_{a.lower()}" if a.isupper() else a for a in letters).strip("_")

    def __str__(self) -> str:
        told = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in sorted(fields(self), key=lambda f: f.kw_only is True)
            if f.default is MISSING or getattr(self, f.name) != f.default
        ]
        return f"{self.name}({', '.join(told)})" if told else self.name


class Geometric(Transform):
    """A transform that moves pixels and keypoints by one matrix for each image."""

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """Matrices that move points, homogeneous coordinates from the image's centre in pixels.

        Args:
            draws: a stream for each of n images.
            size: (h, w) in pixels.

        Returns:
            float32 (n, 3, 3).
        """
        raise NotImplementedError


class Photometric(Transform):
    """A transform that changes brightness values and leaves keypoints where they are."""

    def apply(self, images: Any, draws: Draws) -> Any:
        """The changed images.

        Args:
            images: float32 (n, h, w, c), values 0 to 255.
            draws: a stream for each of the n images.

        Returns:
            float32 (n, h, w, c); values may leave 0 to 255 a little, the mix clips them.
        """
        raise NotImplementedError


def per_image(values: Any) -> Any:
    """One number an image, (n,), in the shape that goes with images, (n, 1, 1, 1)."""
    return keras.ops.reshape(values, (-1, 1, 1, 1))
