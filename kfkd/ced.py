"""The 68-point field's scores over images: AUC, failure rate and the CED curve."""

from __future__ import annotations

import numpy as np

from kfkd.nme import box_sizes, eye_distances, image_nme, measured, nme, pixel_mae
from kfkd.skeletons import Skeleton

LIMIT = 0.08
"""Where the field cuts the CED curve: 8 % of the distance between the outer eye corners."""


def auc(errors: np.ndarray, limit: float = LIMIT) -> float:
    """Area under the CED curve up to `limit`, as a share of the whole: 1 is perfect.

    Args:
        errors: (n,) of `image_nme`.
        limit: share of the face.

    Returns:
        The exact area of the steps, not a sum over bins; NaN where nothing was measured.
    """
    known = measured(errors)
    return float(np.clip(1 - known / limit, 0, 1).mean()) if len(known) else float("nan")


def failure_rate(errors: np.ndarray, limit: float = LIMIT) -> float:
    """Share of the images whose error is above `limit`; NaN where nothing was measured."""
    known = measured(errors)
    return float((known > limit).mean()) if len(known) else float("nan")


def ced(
    errors: np.ndarray, limit: float = LIMIT, steps: int = 161
) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative error distribution: which share of the images has an error of at most x.

    Args:
        errors: (n,) of `image_nme`.
        limit: where x ends.
        steps: how many x, evenly from 0.

    Returns:
        x and shares, float64 (steps,) each; shares are NaN where nothing was measured.
    """
    known, x = np.sort(measured(errors)), np.linspace(0, limit, steps)
    below = np.searchsorted(known, x, side="right")
    return x, below / len(known) if len(known) else np.full(steps, np.nan)


def landmark_scores(
    truth: np.ndarray, predicted: np.ndarray, skeleton: Skeleton
) -> dict[str, float]:
    """All scores of a predictor that the field reports; put the mean face's beside them.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels.
        skeleton: names the normaliser.

    Returns:
        "nme", "nme_box" (shares), "auc", "failure_rate" (inter-ocular, at 0.08), "pixel_mae"
        (pixels of the images given); NaN for what cannot be measured.
    """
    known = skeleton.normaliser is not None
    lengths = eye_distances(truth, skeleton) if known else np.full(len(truth), np.nan)
    eyes = image_nme(truth, predicted, lengths)
    return {
        "nme": nme(eyes),
        "nme_box": nme(image_nme(truth, predicted, box_sizes(truth))),
        "auc": auc(eyes),
        "failure_rate": failure_rate(eyes),
        "pixel_mae": pixel_mae(truth, predicted),
    }
