"""Errors of every labelled value, and what an analysis says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kfkd.analysis.bins import mean_of, root_mean
from kfkd.faces import FaceSet
from kfkd.nme import eye_distances, point_distances
from kfkd.skeletons import KAGGLE_15
from kfkd.statistics import sources_of

PERCENTILES = (50, 75, 90, 95, 99, 99.9, 100)
TAILS = (0.01, 0.05, 0.1)
"""Shares of the images, the worst first."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of predictions, and of the mean face on the same values.

    Args:
        squares: float64 (n, k, 2) in px², NaN = not labelled or not predicted.
        flat: the same of the mean of the training labels of each face's source.
        shares: (n, k), distances as shares of the eyes' distance; None = the field of these
            keypoints does not measure so.
    """

    squares: np.ndarray
    flat: np.ndarray
    shares: np.ndarray | None

    @property
    def nme(self) -> np.ndarray | None:
        """(n,), mean share of each face."""
        if self.shares is None:
            return None
        known = ~np.isnan(self.shares)
        count, total = known.sum(axis=1), np.where(known, self.shares, 0).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def errors_of(faces: FaceSet, points: np.ndarray, means: np.ndarray) -> Errors:
    """Errors in pixels of the images.

    Args:
        faces: with labels.
        points: (n, k, 2) in pixels, NaN = not predicted.
        means: (n, k, 2), of each face the mean of the training labels of its source.
    """
    truth = np.asarray(faces.keypoints, np.float64)
    squares = np.square(points - truth)
    flat = np.where(np.isnan(squares), np.nan, np.square(means - truth))
    return Errors(squares, flat, _shares(faces, truth, points))


def _shares(faces: FaceSet, truth: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    if faces.skeleton.normaliser is None or faces.skeleton.points == KAGGLE_15.points:
        return None
    if faces.photos is not None:
        # As everywhere in this package's 68-point scores: in the photos' own pixels.
        truth, points = faces.photos.to_photo(truth), faces.photos.to_photo(points)
    return point_distances(truth, points) / eye_distances(truth, faces.skeleton)[:, None]


def by_keypoint(faces: FaceSet, errors: Errors) -> dict[str, dict[str, dict[str, float | None]]]:
    """By keypoint and source how many values, RMSE, the mean face's, and NME where there is one.

    Keypoints and sources without a value are left out.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for i, name in enumerate(faces.skeleton.points):
        for source in sources_of(faces):
            rows = faces.source == source
            squares, flat = errors.squares[rows, i], errors.flat[rows, i]
            if not (values := int((~np.isnan(squares)).sum())):
                continue
            row = {"values": values, "rmse": root_mean(squares), "mean_face": root_mean(flat)}
            row |= {} if errors.shares is None else {"nme": mean_of(errors.shares[rows, i])}
            found.setdefault(name, {})[source] = row
    return found


def tail_of(squares: np.ndarray) -> tuple[dict[str, float | None], ...]:
    """What the worst images hold of the squared error, and the RMSE without them.

    Args:
        squares: (n, k, 2) in px².
    """
    known = squares[~np.isnan(squares).all(axis=(1, 2))]
    sums = np.nansum(known, axis=(1, 2))
    order, whole = np.argsort(-sums, kind="stable"), sums.sum()
    found: list[dict[str, float | None]] = []
    for part in TAILS:
        count = int(np.ceil(part * len(sums)))
        share = round(float(sums[order[:count]].sum() / whole), 5) if whole else None
        without = root_mean(known[order[count:]])
        found.append({"worst": part, "images": count, "share": share, "rmse_without": without})
    return tuple(found)


def percentiles_of(errors: Errors) -> dict[str, tuple[float, float]]:
    """Percentiles of a coordinate's absolute error in pixels: (model, mean face)."""
    both = (errors.squares, errors.flat)
    known = [np.sqrt(np.percentile(v[~np.isnan(v)], PERCENTILES)) for v in both]
    rows = zip(PERCENTILES, *known, strict=True)
    return {f"{p:g}%": (round(float(a), 4), round(float(b), 4)) for p, a, b in rows}
