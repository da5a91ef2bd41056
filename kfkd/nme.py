"""Errors of 68 and 58 points as shares of the face, and the course's error in pixels.

An image's error is its mean distance between labelled and predicted points, divided by a length of
the face. Unlabelled points are left out, and so are points without a prediction; an image without
either is NaN and left out of means and shares. For a face that a detector missed put infinity: it
fails at every limit (`kfkd.ced`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kfkd.errors import KfkdError
from kfkd.skeletons import Skeleton

EYES = "the outer eye corners' distance"
"""What the field measures errors by."""


def eye_distances(truth: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The length that inter-ocular errors are shares of, usually of the eyes' outer corners.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        skeleton: names the two points, 36 and 45 (from 0) for iBUG.

    Returns:
        float64 (n,) in pixels; NaN where one of the two is not labelled or both are one.

    Raises:
        KfkdError: when the skeleton has no normaliser.
    """
    first, second = (np.asarray(truth, np.float64)[:, i] for i in _ends(skeleton))
    lengths = np.linalg.norm(first - second, axis=-1)
    return np.where(lengths > 0, lengths, np.nan)


def length_told(skeleton: Skeleton) -> str:
    """What `eye_distances` measures, in words.

    Raises:
        KfkdError: when the skeleton has no normaliser.

    Example:
        >>> from kfkd.skeletons import IBUG_68, KAGGLE_15
        >>> length_told(IBUG_68), length_told(KAGGLE_15)[:32]
        ("the outer eye corners' distance", 'the distance of left_eye_center ')
    """
    _ends(skeleton)
    names = skeleton.normaliser_names
    if sorted(names) == ["left_eye_outer_corner", "right_eye_outer_corner"]:
        return EYES
    return f"the distance of {' and '.join(names)}"


def box_sizes(truth: np.ndarray) -> np.ndarray:
    """The length that box-normalised errors are shares of: √(w · h) of the labelled points' box.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.

    Returns:
        float64 (n,) in pixels; NaN where the box has no area.
    """
    truth = np.asarray(truth, np.float64)
    known = ~np.isnan(truth)
    highest = np.where(known, truth, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(known, truth, np.inf).min(axis=1, initial=np.inf)
    area = np.prod(np.maximum(highest - lowest, 0), axis=-1)
    return np.where(area > 0, np.sqrt(area), np.nan)


def point_distances(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Distance of each predicted point from its label.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels, NaN = not predicted.

    Returns:
        float64 (n, k) in pixels, NaN where either is missing.
    """
    return np.linalg.norm(np.asarray(truth, np.float64) - predicted, axis=-1)


def image_nme(truth: np.ndarray, predicted: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Normalised mean error of each image.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels, NaN = not predicted.
        lengths: (n,) in pixels, of `eye_distances` or `box_sizes`.

    Returns:
        float64 (n,), shares: 0.03 is 3 %; NaN where there is nothing to measure.
    """
    return _row_means(point_distances(truth, predicted)) / lengths


def nme(errors: np.ndarray) -> float:
    """Mean over images of `image_nme`; NaN where none could be measured."""
    known = measured(errors)
    return float(known.mean()) if len(known) else float("nan")


def group_nme(
    truth: np.ndarray, predicted: np.ndarray, lengths: np.ndarray, skeleton: Skeleton
) -> dict[str, float]:
    """Normalised mean error by part of the face, and of all points.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels.
        lengths: (n,) in pixels.
        skeleton: names the groups.

    Returns:
        Error by group, then "all"; NaN for a group that was not measured.
    """
    parts: Mapping[str, tuple[int, ...]] = {
        **skeleton.groups,
        "all": tuple(range(len(skeleton))),
    }
    return {
        name: nme(image_nme(truth[:, list(points)], predicted[:, list(points)], lengths))
        for name, points in parts.items()
    }


def pixel_mae(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute error over all labelled coordinates in pixels: what the course calls its MSE.

    The course takes pixels of the original images; so must the caller, to compare.

    Args:
        truth: keypoints in pixels, any shape; NaN = not labelled.
        predicted: keypoints in pixels, same shape; NaN = not predicted.

    Returns:
        The error in pixels, NaN where nothing is labelled.
    """
    sizes = np.abs(np.asarray(truth, np.float64) - predicted)
    known = ~np.isnan(sizes)
    return float(sizes[known].mean()) if known.any() else float("nan")


def measured(errors: np.ndarray) -> np.ndarray:
    """The errors of the images that could be measured."""
    errors = np.asarray(errors, np.float64)
    return errors[~np.isnan(errors)]


def _ends(skeleton: Skeleton) -> tuple[int, int]:
    if skeleton.normaliser is None:
        raise KfkdError(
            f"{skeleton.name} names no two points to normalise by: name them, of "
            "your own photos by folder:PATH?normalise=POINT,POINT"
        )
    return skeleton.normaliser


def _row_means(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
