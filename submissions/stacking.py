"""Stacking: scikit-learn learns how members err, from their own predictions.

What is learned is the correction of the members' mean. Its features are the mean's coordinates and
each member's distance from the mean, in units of their spread: the members' coordinates, turned so
that a penalty pulls towards the plain mean and not towards zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kfkd.submissions.boosting import fit_boosting
from kfkd.submissions.panel import Panel
from kfkd.submissions.rules import Linear, Rule
from kfkd.submissions.weighting import fit_weights

_LABELLED = 0.5
"""A coordinate that fewer of the rows label is not corrected."""

_LEAST = 20
"""Rows below which nothing is corrected."""

Fit = Callable[[Panel], Rule]


@dataclass(frozen=True)
class _Features:
    """The map from the members' coordinates to features: flat @ turn, centred and scaled."""

    turn: np.ndarray
    centre: np.ndarray
    scale: np.ndarray

    def __call__(self, flat: np.ndarray) -> np.ndarray:
        return (flat @ self.turn - self.centre) / self.scale


def fit_ridge(panel: Panel, alpha: float) -> Linear:
    """Ridge regression, each coordinate on the rows that label it.

    Args:
        panel: rows of one source; every member predicts every keypoint.
        alpha: strength of the penalty.
    """
    from sklearn.linear_model import Ridge

    flat, base, target = _sides(panel)
    features = _features(flat, panel.predicted.shape)
    slopes, offset = np.zeros((features.turn.shape[1], base.shape[1])), np.zeros(base.shape[1])
    known = ~np.isnan(target)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for i, rows in enumerate(patterns.T):
        columns = np.flatnonzero(which == i)
        if rows.mean() >= _LABELLED and rows.sum() >= _LEAST:
            found = Ridge(alpha).fit(features(flat[rows]), target[np.ix_(rows, columns)])
            slopes[:, columns], offset[columns] = found.coef_.T, found.intercept_
    return _collapsed(features, slopes, offset, len(panel.names))


def fit_elastic_net(panel: Panel, alpha: float) -> Linear:
    """Multi-task elastic net, on the rows that label every coordinate that most rows label.

    Args:
        panel: rows of one source; every member predicts every keypoint.
        alpha: strength of the penalty, in pixels.
    """
    from sklearn.linear_model import MultiTaskElasticNet

    flat, base, target = _sides(panel)
    features = _features(flat, panel.predicted.shape)
    slopes, offset = np.zeros((features.turn.shape[1], base.shape[1])), np.zeros(base.shape[1])
    columns = np.flatnonzero((~np.isnan(target)).mean(axis=0) >= _LABELLED)
    rows = ~np.isnan(target[:, columns]).any(axis=1)
    if len(columns) and rows.sum() >= _LEAST:
        net = MultiTaskElasticNet(alpha=alpha, l1_ratio=0.5, max_iter=300, tol=1e-3)
        found = _unwarned(net.fit, features(flat[rows]), target[np.ix_(rows, columns)])
        slopes[:, columns], offset[columns] = found.coef_.T, found.intercept_
    return _collapsed(features, slopes, offset, len(panel.names))


CANDIDATES: dict[str, dict[str, Fit]] = {
    "weighted": {
        "weighted": fit_weights,
        "weighted by part": partial(fit_weights, by_part=True),
    },
    "elastic_net": {
        f"elastic net {a:g}": partial(fit_elastic_net, alpha=a) for a in (0.3, 0.1, 0.03, 0.01)
    },
    "ridge": {f"ridge {a:g}": partial(fit_ridge, alpha=a) for a in (10.0, 100.0, 1e3, 1e4)},
    "boosting": {"boosting": fit_boosting},
}
"""What is tried of each way to fit, the simplest first."""


def _sides(panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, m · k · 2) coordinates, (n, k · 2) their mean and what it lacks to the labels."""
    n = len(panel.truth)
    flat = np.moveaxis(panel.predicted, 0, 1).reshape(n, -1)
    base = panel.predicted.mean(axis=0).reshape(n, -1)
    return flat, base, panel.truth.reshape(n, -1) - base


def _features(flat: np.ndarray, shape: tuple[int, ...]) -> _Features:
    members, width = shape[0], shape[2] * 2
    mean = np.tile(np.eye(width) / members, (members, 1))
    apart = np.eye(members * width) - np.tile(mean, (1, members))
    # One member's distance from the mean is the others' sum: it adds nothing of its own.
    turn = np.hstack([mean, apart[:, : (members - 1) * width]])
    seen = flat @ turn
    spread = seen.std(axis=0)
    return _Features(turn, seen.mean(axis=0), np.where(spread > 1e-9, spread, 1.0))


def _collapsed(features: _Features, slopes: np.ndarray, offset: np.ndarray, members: int) -> Linear:
    """The mean with its correction, as one matrix over the members' coordinates."""
    slopes = slopes / features.scale[:, None]
    mean = np.tile(np.eye(len(offset)) / members, (members, 1))
    return Linear(mean + features.turn @ slopes, offset - features.centre @ slopes)


def _unwarned(fit: Callable[..., Any], *sides: np.ndarray) -> Any:
    """Fits; a path that is cut off early is another candidate, not a fault."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(*sides)
