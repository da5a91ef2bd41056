"""What answers of one label source are corrected by: a linear part, a smooth part, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.linear_correction import checked_correction, corrected, fit_correction
from kfkd.smooth_correction import SMOOTH_ARRAYS, SmoothCorrection, checked_smooth, fit_smooth

LINEAR, SMOOTH = CORRECTIONS = ("linear_correction", "smooth_correction")
"""The kinds, as recipes and run.json call them, in the order in which they are applied."""


@dataclass(frozen=True)
class Correction:
    """A fitted correction.

    Args:
        linear: of `kfkd.linear_correction`; None = none.
        smooth: of `kfkd.smooth_correction`, of answers that have the linear one; None = none.
    """

    linear: np.ndarray | None = None
    smooth: SmoothCorrection | None = None

    def __bool__(self) -> bool:
        return self.linear is not None or self.smooth is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of `CORRECTIONS` it has."""
        parts = {LINEAR: self.linear, SMOOTH: self.smooth}
        return tuple(kind for kind, part in parts.items() if part is not None)

    def corrected(self, points: np.ndarray) -> np.ndarray:
        """Answers as the labels would have them.

        Args:
            points: (n, p, 3): x, y and their doubt in pixels, NaN = unknown doubt.

        Returns:
            As `points`; doubts stay as they are.
        """
        found = points.copy()
        if self.linear is not None:
            found[..., :2] = corrected(found[..., :2], self.linear)
        if self.smooth is not None:
            found[..., :2] = self.smooth.corrected(found)
        return found

    def arrays(self, key: str) -> dict[str, np.ndarray]:
        """Its numbers by the names that they have in a file.

        Args:
            key: of the label source.
        """
        found = {} if self.linear is None else {key: self.linear.astype(np.float32)}
        if self.smooth is not None:
            found |= {f"{key}-{name}": array for name, array in self.smooth.arrays().items()}
        return found

    def as_lists(self) -> Any:
        """Its numbers as plain data."""
        linear = None if self.linear is None else self.linear.tolist()
        if self.smooth is None:
            return linear
        return [linear, {name: array.tolist() for name, array in self.smooth.arrays().items()}]


def fitted(
    points: np.ndarray, labels: np.ndarray, group: np.ndarray, kinds: tuple[str, ...]
) -> Correction:
    """Fits a correction of answers by the labels of the same faces.

    Args:
        points: (n, p, 3): x, y and their doubt in pixels, NaN = unknown doubt.
        labels: (n, p, 2) in pixels, NaN = not labelled.
        group: (n,), equal for faces that belong together.
        kinds: which of `CORRECTIONS`.
    """
    points = points.astype(np.float64)
    linear = fit_correction(points[..., :2], labels) if LINEAR in kinds else None
    found = Correction(linear)
    if SMOOTH in kinds:
        found = Correction(linear, fit_smooth(found.corrected(points), labels, group))
    # With the numbers that a file has of it: a run answers the same before and after it is opened.
    return checked(found.arrays(""), "", found.kinds, points.shape[1])


def array_names(key: str, kinds: tuple[str, ...]) -> list[str]:
    """What the arrays of a source's correction are called in a file."""
    names = {LINEAR: [key], SMOOTH: [f"{key}-{name}" for name in SMOOTH_ARRAYS]}
    return [name for kind in kinds for name in names[kind]]


def checked(
    arrays: Mapping[str, np.ndarray], key: str, kinds: tuple[str, ...], points: int
) -> Correction:
    """A correction out of a file that may come from anyone.

    Args:
        arrays: all of the file.
        key: of the label source.
        kinds: which of `CORRECTIONS` it has.
        points: that it is to be of.

    Raises:
        KfkdError: when it is of other points, or has numbers beyond measure.
    """
    smooth = {name: arrays[f"{key}-{name}"] for name in SMOOTH_ARRAYS if SMOOTH in kinds}
    return Correction(
        checked_correction(arrays[key], points) if LINEAR in kinds else None,
        checked_smooth(smooth, points) if smooth else None,
    )
