"""Transforms that move pixels and keypoints by a matrix; a mix composes them into one."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

from kfkd.augment.draws import Draws
from kfkd.augment.transforms import Geometric
from kfkd.lazy import keras


def matrices(rows: tuple[tuple[Any, ...], ...], like: Any) -> Any:
    """Matrices from their entries.

    Args:
        rows: 3×3 entries, each a number or (n,).
        like: (n,), gives n.

    Returns:
        float32 (n, 3, 3).
    """
    full = [[keras.ops.zeros_like(like) + entry for entry in row] for row in rows]
    return keras.ops.stack([keras.ops.stack(row, axis=-1) for row in full], axis=-2)


@dataclass(frozen=True)
class Flip(Geometric):
    """Mirrors left and right: x → (w − 1) − x, and swaps left and right names.

    Args:
        swap: whether names are swapped; False is the mistake that many published flips make,
            the Kaggle study's among them.
        p: share of the images.
    """

    swap: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_flag("swap")

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        one = draws.uniform(1.0, 1.0)
        return matrices(((-one, 0, 0), (0, 1, 0), (0, 0, 1)), one)


@dataclass(frozen=True)
class Rotate(Geometric):
    """Turns about the image's centre.

    Args:
        degrees: the largest angle, drawn from ±degrees; positive turns counter-clockwise as seen.
        alternate: exactly +degrees and −degrees in turn, as the Kaggle study turned even and odd
            rows, instead of any angle between.
        p: share of the images.
    """

    degrees: float
    alternate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("degrees", 0, 180)
        self.want_flag("alternate")

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        turn = draws.uniform(-1.0, 1.0)
        if self.alternate:
            turn = 1.0 - 2.0 * keras.ops.cast(keras.ops.mod(draws.images, 2), "float32")
        angle = turn * (self.degrees * pi / 180)
        cos, sin = keras.ops.cos(angle), keras.ops.sin(angle)
        return matrices(((cos, sin, 0), (-sin, cos, 0), (0, 0, 1)), angle)


@dataclass(frozen=True)
class Shift(Geometric):
    """Moves the image.

    Args:
        share: at most this share of width and of height, either way.
        p: share of the images.
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("share", 0, 1)

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        x = draws.uniform(-self.share, self.share) * float(size[1])
        y = draws.uniform(-self.share, self.share) * float(size[0])
        return matrices(((1, 0, x), (0, 1, y), (0, 0, 1)), x)


@dataclass(frozen=True)
class Scale(Geometric):
    """Enlarges or shrinks about the image's centre.

    Args:
        low: smallest factor.
        high: largest factor.
        aspect: the two axes differ by up to this factor.
        p: share of the images.
    """

    low: float
    high: float
    aspect: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_range("low", "high", 0.05, 20)
        self.want("aspect", 1, 4)

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        factor = draws.log_uniform(self.low, self.high)
        stretch = draws.log_uniform(self.aspect**-0.5, self.aspect**0.5)
        return matrices(((factor * stretch, 0, 0), (0, factor / stretch, 0), (0, 0, 1)), factor)


@dataclass(frozen=True)
class Shear(Geometric):
    """Slants the axes: x by a share of y, y by a share of x.

    Args:
        share: the largest slant, either way; 0.1 is about 6 degrees.
        p: share of the images.
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("share", 0, 0.9)

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        x = draws.uniform(-self.share, self.share)
        y = draws.uniform(-self.share, self.share)
        return matrices(((1, x, 0), (y, 1, 0), (0, 0, 1)), x)


@dataclass(frozen=True)
class Perspective(Geometric):
    """Tilts the image's plane: opposite edges become of different length.

    Args:
        share: how much larger or smaller an edge becomes at most.
        p: share of the images.
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want("share", 0, 0.4)

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        x = draws.uniform(-self.share, self.share) / (size[1] / 2)
        y = draws.uniform(-self.share, self.share) / (size[0] / 2)
        return matrices(((1, 0, 0), (0, 1, 0), (x, y, 1)), x)


@dataclass(frozen=True)
class Crop(Geometric):
    """Cuts a window of random size and place out of the image and enlarges it to the full frame.

    Args:
        low: smallest window, as a share of width and of height.
        high: largest window.
        p: share of the images.
    """

    low: float
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.want_range("low", "high", 0.05, 1)

    def matrix(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As `Geometric.matrix`."""
        window = draws.uniform(self.low, self.high)
        room = (1.0 - window) / 2.0
        x = draws.uniform(-1.0, 1.0) * room * float(size[1]) / window
        y = draws.uniform(-1.0, 1.0) * room * float(size[0]) / window
        return matrices(((1 / window, 0, x), (0, 1 / window, y), (0, 0, 1)), window)


def inverse(matrix: Any) -> Any:
    """Inverses of 3×3 matrices up to a factor, which homogeneous coordinates do not feel.

    Args:
        matrix: (n, 3, 3).
    """
    a, b, c = (matrix[:, :, i] for i in range(3))
    rows = (_cross(b, c), _cross(c, a), _cross(a, b))
    adjugate = keras.ops.stack(rows, axis=1)
    return adjugate / adjugate[:, 2:3, 2:3]


def _cross(a: Any, b: Any) -> Any:
    (ax, ay, az), (bx, by, bz) = ([v[:, i] for i in range(3)] for v in (a, b))
    return keras.ops.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def moved(matrix: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Points moved by their image's matrix.

    Args:
        matrix: (n, 3, 3).
        x: (n or 1, …), coordinates from the centre.
        y: likewise.

    Returns:
        x and y after the move.
    """
    ones = (1,) * (len(x.shape) - 1)

    def row(i: int) -> Any:
        a, b, c = (keras.ops.reshape(matrix[:, i, j], (-1, *ones)) for j in range(3))
        return a * x + b * y + c

    # A point that a tilt would send behind the viewer stays far away on its side.
    depth = keras.ops.maximum(row(2), 0.05)
    return row(0) / depth, row(1) / depth
