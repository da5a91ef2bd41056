"""Gradient boosting on members' predictions: one set of trees for all coordinates of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kfkd.submissions.panel import Panel

_LEAST = 20
"""Rows below which nothing is corrected."""


@dataclass(frozen=True)
class Boosted:
    """The members' mean, corrected by trees.

    The trees are not kept in files: they are grown anew from the out-of-fold predictions, to the
    same result.

    Args:
        trees: a fitted scikit-learn regressor, None = no correction.
        corrected: bool (k · 2,), coordinates that were learned.
    """

    trees: Any
    corrected: np.ndarray
    kind: ClassVar[str] = "boosting"

    def predict(self, predicted: np.ndarray) -> np.ndarray:
        """See `kfkd.submissions.rules.Rule`."""
        mean = predicted.mean(axis=0)
        if self.trees is None or not len(mean):
            return mean
        found = mean.reshape(len(mean), -1).copy()
        with _one_thread():
            steps = self.trees.predict(_table(predicted)).reshape(found.shape)
        found[:, self.corrected] += steps[:, self.corrected]
        return found.reshape(mean.shape)

    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing: see above."""
        return {}


def fit_boosting(panel: Panel) -> Boosted:
    """Grows the trees.

    Args:
        panel: rows of one source; every member predicts every keypoint.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    lacking = panel.truth - panel.predicted.mean(axis=0)
    target = lacking.reshape(-1)
    known = ~np.isnan(target)
    corrected = (~np.isnan(lacking)).any(axis=0).reshape(-1)
    if (~np.isnan(lacking)).any(axis=(1, 2)).sum() < _LEAST:
        return Boosted(None, corrected)
    table = _table(panel.predicted)
    trees = HistGradientBoostingRegressor(
        max_iter=60,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=40,
        early_stopping=False,
        categorical_features=[table.shape[1] - 1],
        random_state=0,
    )
    with _one_thread():
        trees.fit(table[known], target[known])
    return Boosted(trees, corrected)


def _table(predicted: np.ndarray) -> np.ndarray:
    """(n · k · 2, m + 3): of each coordinate the members' distances from their mean, their spread,
    the mean itself, and which coordinate it is.
    """
    members, n, k, _ = predicted.shape
    mean = predicted.mean(axis=0)
    apart = (predicted - mean).reshape(members, -1)
    which = np.tile(np.arange(k * 2) % 255, n)
    return np.stack([*apart, apart.std(axis=0), mean.reshape(-1), which], axis=1)


def _one_thread() -> Any:
    """Threads that wait for each other cost more than they gain on tables of this size."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
