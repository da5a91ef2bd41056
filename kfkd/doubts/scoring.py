"""How good a model's doubt is: whether it ranks errors, and whether its probabilities are true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.doubts.calibrating import fit_calibration
from kfkd.doubts.calibration import Calibration
from kfkd.faces import FaceSet
from kfkd.nme import point_distances

if TYPE_CHECKING:
    from kfkd.runs import Run

BINS = 10
COVERAGE = (0.5, 0.8, 0.9, 0.95, 1.0)
"""Shares of the points, the most certain first, whose error is told."""


@dataclass(frozen=True)
class DoubtScores:
    """A model's doubt against its errors.

    Args:
        images: how many were measured.
        points: labelled ones with a doubt.
        within: how near to its label a point counts as found, in pixels.
        power: how much the error follows the doubt, see `kfkd.doubts.calibration`.
        ranks: Spearman's correlation with the distance from the label: of "doubt" as it is, of
            "doubt within a keypoint" (of one source, mean over them), of the "calibrated" one.
        bins: tenths of the points by calibrated doubt: points, "sigma" and "rmse" in pixels along
            an axis, mean "confidence", share "found".
        coverage: (share of the points, the most certain first, and their RMSE in pixels).
        brier: mean squared error of the confidence, and of always saying the share that is found.
        own: the same facts of the calibration in the run's run.json, which was fitted on its
            held-out images: brier, mean "confidence" and share "found"; None = it has none.
    """

    images: int
    points: int
    within: float
    power: float
    ranks: Mapping[str, float | None]
    bins: tuple[Mapping[str, float], ...]
    coverage: tuple[tuple[float, float], ...]
    brier: tuple[float, float]
    own: Mapping[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The scores as plain data."""
        return asdict(self)


def fit_to_run(
    run: Run, faces: FaceSet, predicted: np.ndarray, doubt: np.ndarray
) -> Calibration | None:
    """What a run's doubt is worth, by faces that it did not learn from.

    Args:
        run: who answered, each face as its source would label it.
        faces: with labels.
        predicted: (n, k, 2) in pixels.
        doubt: (n, k) in pixels.

    Returns:
        The calibration; None where the run has no doubt, or too few points are labelled.
    """
    distances = point_distances(faces.keypoints, predicted)
    # Only a model with points of its own for each source answers a face as its source would.
    source = faces.source if any(map(run.by_source, run.subsets)) else None
    return fit_calibration(distances, doubt, faces.images.shape[2], source)


def score_doubt(
    calibration: Calibration,
    distances: np.ndarray,
    doubt: np.ndarray,
    source: np.ndarray,
    own: Calibration | None = None,
) -> DoubtScores:
    """Scores of a doubt, calibrated.

    Args:
        calibration: what the doubt is worth, fitted on these points.
        distances: (n, k), of points from their labels in pixels; NaN = one of them is missing.
        doubt: (n, k) in pixels, NaN = unknown.
        source: (n,), as which source each face was answered.
        own: another calibration to check on these points.
    """
    sigma = calibration.sigma(doubt, source)
    known = np.isfinite(distances) & np.isfinite(sigma)
    far, spread = distances[known], sigma[known]
    found = far <= calibration.within
    told = calibration.confidence(doubt, source)[known].astype(np.float64)
    order = np.argsort(spread, kind="stable")
    return DoubtScores(
        images=int(known.any(axis=1).sum()),
        points=len(far),
        within=calibration.within,
        power=round(calibration.power, 4),
        ranks={
            "doubt": rank_correlation(doubt[known], far),
            "doubt within a keypoint": _within_keypoints(doubt, distances, known, source),
            "calibrated": rank_correlation(spread, far),
        },
        bins=tuple(
            _bin(far[rows], spread[rows], told[rows], found[rows])
            for rows in np.array_split(order, min(BINS, len(order)))
        ),
        coverage=tuple((s, _rmse(far[order[: round(s * len(order))]])) for s in COVERAGE),
        brier=(_brier(told, found), _brier(np.full(len(found), found.mean()), found)),
        own=None if own is None else _own(own, distances, doubt, source),
    )


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where one of them is the same everywhere.

    Args:
        one: (n,) numbers.
        other: (n,) numbers.

    Example:
        >>> rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 400]))
        1.0
    """
    from scipy.stats import rankdata

    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return round(float(np.corrcoef(rankdata(one), rankdata(other))[0, 1]), 4)


def _within_keypoints(
    doubt: np.ndarray, distances: np.ndarray, known: np.ndarray, source: np.ndarray
) -> float | None:
    """Mean rank correlation of the keypoints of each source, as many points as each has."""
    sums = np.zeros(2)
    for name in np.unique(source):
        for i, mask in enumerate((known & (source == name)[:, None]).T):
            one = rank_correlation(doubt[mask, i], distances[mask, i])
            sums += (0, 0) if one is None else (one * mask.sum(), mask.sum())
    return round(float(sums[0] / sums[1]), 4) if sums[1] else None


def _own(
    own: Calibration, distances: np.ndarray, doubt: np.ndarray, source: np.ndarray
) -> dict[str, float] | None:
    told = own.confidence(doubt, source).astype(np.float64)
    known = np.isfinite(distances) & np.isfinite(told)
    if not known.any():
        return None
    told, found = told[known], distances[known] <= own.within
    shares = {"confidence": round(float(told.mean()), 4), "found": round(float(found.mean()), 4)}
    return {"brier": _brier(told, found), **shares}


def _bin(
    far: np.ndarray, sigma: np.ndarray, told: np.ndarray, found: np.ndarray
) -> dict[str, float]:
    values = {
        "sigma": np.sqrt(np.square(sigma).mean()),
        "rmse": _rmse(far),
        "confidence": told.mean(),
        "found": found.mean(),
    }
    return {"points": len(far), **{name: round(float(v), 4) for name, v in values.items()}}


def _rmse(far: np.ndarray) -> float:
    """RMSE along an axis of points that lie so far from their labels."""
    return round(float(np.sqrt(np.square(far).mean() / 2)), 4)


def _brier(told: np.ndarray, found: np.ndarray) -> float:
    return round(float(np.square(told - found).mean()), 5)
