"""Faces that a detector found, and how a data set shows faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from kfkd.crop_maps import scaled_points
from kfkd.errors import KfkdError

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""

_FAR = 1e5
_LARGEST, _LEAST_SIDE = 1e6, 1e-3
"""No number of a face in a photo is larger, no side of its box smaller: maps could not hold it."""

GIVEN = "given:"
"""Before a data set's name: as which detector the boxes that it gives count."""

UNNAMED = "mtcnn"
"""The detector whose frame serves for those that a rule does not name: most box a face alike."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face that a detector found.

    Args:
        box: (x, y, w, h) in pixels of the image, float; it may reach beyond the image.
        score: the detector's own, a greater one is surer.
        landmarks: float (5, 2) in pixels: eyes, nose, mouth corners; of a pair the one that is on
            the left of the picture, when the face is upright, first. None = boxes only.

    Raises:
        KfkdError: when the box has no area to speak of, the landmarks are not (5, 2), or a number
            is not finite or lies far beyond any photo.
    """

    box: Box
    score: float = 1.0
    landmarks: np.ndarray | None = None

    def __post_init__(self) -> None:
        box = np.asarray(self.box, np.float64)
        if box.shape != (4,) or not _near(box) or min(box[2:]) < _LEAST_SIDE:
            wanted = "a box is x, y, width, height in pixels, sides from 0.001, all up to 1,000,000"
            raise KfkdError(f"{wanted}. Received: {self.box}")
        marks = self.landmarks
        if marks is not None and (np.shape(marks) != (5, 2) or not _near(marks)):
            received = np.asarray(marks).tolist()
            raise KfkdError(f"landmarks are (5, 2), up to 1,000,000. Received: {received!r:.200}")

    @property
    def roll(self) -> float:
        """How far the eye line is turned, in degrees, clockwise; 0 without landmarks."""
        if self.landmarks is None:
            return 0.0
        dx, dy = self.landmarks[1] - self.landmarks[0]
        return float(np.degrees(np.arctan2(dy, dx)))

    def scaled(self, factor: float) -> Face:
        """The same face in an image `factor` times as large.

        Args:
            factor: pixels of the other image per pixel of this one.
        """
        x, y = scaled_points(np.array(self.box[:2]), factor).tolist()
        marks = None if self.landmarks is None else scaled_points(self.landmarks, factor)
        return replace(
            self, box=(x, y, self.box[2] * factor, self.box[3] * factor), landmarks=marks
        )


def _near(values: np.ndarray) -> bool:
    """Whether all are finite, and no further off than any photo's pixels."""
    return bool((np.abs(values) <= _LARGEST).all())


@dataclass(frozen=True, eq=False)
class CropRule:
    """How a data set shows faces, so that a model sees in a photo what it saw in training.

    With landmarks the crop puts eyes and mouth where they usually are in the data set. With a box
    alone it is centred at the box's centre + (dx·w, dy·h), and its sides' geometric mean is
    `side`·sqrt(w·h) for a detected box of w × h. Pixels are square.

    Args:
        name: what the rule is called.
        size: (height, width) of the crop in pixels.
        align: turn the face upright, where the detector gives landmarks.
        frames: (dx, dy, side) by detector; that of "mtcnn" also serves for detectors not named.
        landmarks: (5, 2) in pixels of the crop by detector, as `Face.landmarks`.

    Raises:
        KfkdError: when there is no frame for "mtcnn", or a part does not fit.
    """

    name: str
    size: tuple[int, int]
    align: bool
    frames: Mapping[str, tuple[float, float, float]]
    landmarks: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames = {name: np.asarray(frame, float) for name, frame in self.frames.items()}
        fits = all(f.shape == (3,) and np.isfinite(f).all() and f[2] > 0 for f in frames.values())
        marks = [np.asarray(points, float) for points in self.landmarks.values()]
        fits = fits and all(m.shape == (5, 2) and np.isfinite(m).all() for m in marks)
        fits = fits and all(np.abs(values).max() <= _FAR for values in (*frames.values(), *marks))
        if UNNAMED not in frames or not fits or not 1 <= min(self.size) <= max(self.size) <= _FAR:
            raise KfkdError(
                f"the crop rule {self.name!r} wants a size, frames of dx, dy, side > 0, one of "
                f"them for {UNNAMED}, and landmarks (5, 2). Received: size {self.size}, "
                f"{dict(self.frames)}, {dict(self.landmarks)}"
            )
        object.__setattr__(self, "frames", MappingProxyType(dict(self.frames)))
        object.__setattr__(self, "landmarks", MappingProxyType(dict(self.landmarks)))

    def frame(self, detector: str) -> tuple[float, float, float]:
        """(dx, dy, side) for the boxes of a detector."""
        return self.frames.get(detector, self.frames[UNNAMED])

    def template(self, detector: str) -> np.ndarray | None:
        """Float (5, 2): where a detector's landmarks belong in the crop; None = not measured."""
        return self.landmarks.get(detector, self.landmarks.get(UNNAMED))

    def resized(self, size: tuple[int, int]) -> CropRule:
        """The same view of a face on another number of pixels.

        Args:
            size: (height, width).
        """
        factor = np.sqrt(np.prod(size) / np.prod(self.size))
        old, new = ((np.array(s[::-1]) - 1) / 2 for s in (self.size, size))
        marks = {name: (points - old) * factor + new for name, points in self.landmarks.items()}
        return replace(self, size=size, landmarks=marks)

    def zoomed(self, factor: float) -> CropRule:
        """The rule of crops in which faces are `factor` times as large.

        Args:
            factor: above 0.
        """
        middle = (np.array(self.size[::-1]) - 1) / 2
        marks = {name: (p - middle) * factor + middle for name, p in self.landmarks.items()}
        frames = {name: (dx, dy, side / factor) for name, (dx, dy, side) in self.frames.items()}
        return replace(self, frames=frames, landmarks=marks)

    def as_dict(self) -> dict[str, Any]:
        """The rule as JSON keeps it."""
        return {
            "name": self.name,
            "size": list(self.size),
            "align": self.align,
            "frames": {name: list(frame) for name, frame in self.frames.items()},
            "landmarks": {n: np.asarray(p).tolist() for n, p in self.landmarks.items()},
        }


def rule_from(record: Any) -> CropRule:
    """The rule that `CropRule.as_dict` wrote.

    Args:
        record: out of a JSON file, so it may hold anything.

    Raises:
        KfkdError: when it describes no rule.
    """
    try:
        height, width = (int(length) for length in record["size"])
        frames = {
            str(name): (float(dx), float(dy), float(side))
            for name, (dx, dy, side) in record["frames"].items()
        }
        marks = record.get("landmarks", {}).items()
        landmarks = {str(name): np.array(points, np.float64) for name, points in marks}
        align = bool(record["align"])
        return CropRule(str(record["name"]), (height, width), align, frames, landmarks)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise KfkdError(f"no crop rule: {error}. Received: {record!r:.200}") from error
