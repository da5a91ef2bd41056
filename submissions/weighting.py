"""Non-negative weights that add up to 1, fitted on out-of-fold predictions."""

from __future__ import annotations

import numpy as np

from kfkd.submissions.panel import Panel
from kfkd.submissions.rules import Weighted

_RIDGE = 1e-6
"""Share of the members' mean square that is added to each: equal members get equal weights."""


def best_weights(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The weighted mean with the least squared error.

    Args:
        predicted: float (m, …) in pixels.
        truth: float (…) in pixels, NaN = leave out.

    Returns:
        float64 (m,), from 0 up, adding up to 1; equal where nothing is labelled.

    Example:
        >>> truth = np.array([1.0, 2.0, 3.0])
        >>> best_weights(truth + np.array([[1, 0, 0], [0, 1, 0], [9, 9, 9]]), truth).round(3)
        array([0.5, 0.5, 0. ])
    """
    from scipy.optimize import nnls

    known = ~np.isnan(truth)
    errors = predicted[:, known] - truth[known]
    gram = errors @ errors.T
    count, trace = len(gram), np.trace(gram)
    if not trace:
        return np.full(count, 1 / count)
    # Of w' G w with weights that add up to 1 the least is, up to its scale, the non-negative v
    # with the least v' G v / 2 - sum(v); with G = L L' that is |L' v - L^-1 1|.
    lower = np.linalg.cholesky(gram / trace + _RIDGE * np.eye(count))
    found, _ = nnls(lower.T, np.linalg.solve(lower, np.ones(count)))
    return found / found.sum()


def fit_weights(panel: Panel, by_part: bool = False) -> Weighted:
    """A weight a member, or one a member and part of the face.

    Args:
        panel: rows of one source; every member predicts every keypoint.
        by_part: eyes, brows and so on have weights of their own, where they have labels.
    """
    whole = best_weights(panel.predicted, panel.truth)
    weights = np.repeat(whole[:, None], panel.truth.shape[1], axis=1)
    for points in panel.parts.values() if by_part else ():
        own = list(points)
        if own and not np.isnan(panel.truth[:, own]).all():
            weights[:, own] = best_weights(panel.predicted[:, :, own], panel.truth[:, own])[:, None]
    return Weighted(weights)
