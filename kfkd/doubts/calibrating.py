"""Fitting what a model's doubt is worth, on faces that it did not learn from."""

from __future__ import annotations

from math import log, sqrt
from typing import NamedTuple

import numpy as np

from kfkd.doubts.calibration import LEAST, PARTS, STEEPEST, Calibration, Level

_FEWEST = 20
"""Points that a level is fitted on at least."""

_SHARE = 0.75
"""The share of a keypoint's errors that its level fits: errors have a longer tail than Rayleigh's
distribution, which the median would not see and the mean would see little else of."""


def fit_calibration(
    distances: np.ndarray, doubt: np.ndarray, width: int, source: np.ndarray | None = None
) -> Calibration | None:
    """The calibration of a model by faces that it did not learn from.

    Args:
        distances: (n, k), of points from their labels in pixels; NaN = one of them is missing.
        doubt: (n, k) in pixels, NaN = unknown.
        width: of the images in pixels.
        source: (n,), where the model answered as each face's label source; None = it knows none.

    Returns:
        The calibration; None where no keypoint has 20 labels and doubts.
    """
    known = np.isfinite(distances) & np.isfinite(doubt)
    rows = {"all": known}
    if source is not None:
        rows |= {str(name): known & (source == name)[:, None] for name in np.unique(source)}
    points = {
        name: [_points(distances[m, i], doubt[m, i]) for i, m in enumerate(mask.T)]
        for name, mask in rows.items()
    }
    every = [pair for pair in points["all"] if pair is not None]
    if not every:
        return None
    # A power is measured within one keypoint of one source, where there are sources.
    fine = [p for name, row in points.items() if name != "all" for p in row if p is not None]
    power = _power(fine or every)
    return Calibration(
        within=round(width / PARTS, 5),
        power=power,
        levels={name: tuple(_level(p, power) for p in row) for name, row in points.items()},
        images=int(known.any(axis=1).sum()),
    )


class _Points(NamedTuple):
    """One keypoint's logarithms of doubts and of distances, both relative to their medians."""

    doubt: np.ndarray
    distance: np.ndarray
    usual: tuple[float, float]


def _points(distances: np.ndarray, doubt: np.ndarray) -> _Points | None:
    if len(doubt) < _FEWEST:
        return None
    doubt, usual = np.maximum(doubt, LEAST), max(float(np.median(distances)), LEAST)
    middle = float(np.median(doubt))
    # The logarithm of a distance near 0 says more about luck than about the model.
    far = np.maximum(distances, usual / 10)
    return _Points(np.log(doubt / middle), np.log(far / usual), (middle, usual))


def _power(points: list[_Points]) -> float:
    """Slope of the logarithm of the distance over that of the doubt, within keypoints."""
    x = np.concatenate([p.doubt - p.doubt.mean() for p in points])
    y = np.concatenate([p.distance - p.distance.mean() for p in points])
    spread = float(np.square(x).sum())
    return min(max(float(x @ y) / spread, 0.0), STEEPEST) if spread > 1e-9 else 0.0


def _level(points: _Points | None, power: float) -> Level | None:
    if points is None:
        return None
    doubt, usual = points.usual
    scaled = np.quantile(np.exp(points.distance - power * points.doubt), _SHARE)
    # A Rayleigh distribution has this share below σ · √(−2 ln(1 − share)).
    return Level(doubt, usual * float(scaled) / sqrt(-2 * log(1 - _SHARE)))
