"""Scores in pixels, honest about missing labels: one masked mean over all labelled values."""

from __future__ import annotations

import numpy as np

FULL_SHARE = 0.649
"""Share of the values that Kaggle's id table asks on images labelled with 15 keypoints."""


def rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Root of the mean squared error over every labelled value.

    Args:
        truth: keypoints in pixels, any shape; NaN = not labelled.
        predicted: keypoints in pixels, same shape; NaN = not predicted, left out as well.

    Returns:
        The error in pixels, NaN where nothing is labelled.
    """
    squares = np.square(np.asarray(truth, np.float64) - predicted)
    known = ~np.isnan(squares)
    return float(np.sqrt(squares[known].mean())) if known.any() else float("nan")


def kaggle_rmse(truth: np.ndarray, predicted: np.ndarray, source: np.ndarray) -> float:
    """RMSE weighted as in Kaggle's test set: 0.649 fully labelled, 0.351 four-point images.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels.
        source: (n,) "full" or "four_point".

    Returns:
        The error in pixels; where one source is absent, the plain RMSE of the other.
    """
    full, four = (rmse(truth[source == s], predicted[source == s]) for s in ("full", "four_point"))
    if np.isnan(full) or np.isnan(four):
        return four if np.isnan(full) else full
    return float(np.sqrt(FULL_SHARE * full**2 + (1 - FULL_SHARE) * four**2))


def predicted_points(predicted: np.ndarray) -> np.ndarray:
    """Which keypoints were predicted at all: a run on the nose tip answers with no other.

    Args:
        predicted: (n, k, 2) in pixels, NaN = not predicted.

    Returns:
        Ascending indices of those that some image has.
    """
    return np.flatnonzero(~np.isnan(predicted).all(axis=(0, 2)))


def mean_face(keypoints: np.ndarray) -> np.ndarray:
    """The predictor that every model must beat: the mean of the training labels.

    Args:
        keypoints: (n, k, 2) in pixels, NaN = not labelled.

    Returns:
        float32 (k, 2); NaN for a keypoint that no row has.
    """
    known = ~np.isnan(keypoints)
    total = np.where(known, keypoints, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def image_errors(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """RMSE of each image, for finding the worst cases.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels.

    Returns:
        float (n,), NaN for an image without labels.
    """
    squares = np.square(np.asarray(truth, np.float64) - predicted).reshape(len(truth), -1)
    known = ~np.isnan(squares)
    count = known.sum(axis=1)
    mean = np.where(known, squares, 0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, np.sqrt(mean), np.nan)
