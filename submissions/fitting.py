"""Fitting an ensemble on out-of-fold predictions, and scoring it on rows that it was not fitted on.

Each source of labels is fitted by itself, as are keypoints that not all members predict: images are
answered by what was fitted for their source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.errors import UnknownName
from kfkd.metrics import rmse
from kfkd.submissions.ensembles import combine
from kfkd.submissions.panel import Panel
from kfkd.submissions.rules import Middle, Rule, equal_weights
from kfkd.submissions.selecting import select
from kfkd.submissions.stacking import CANDIDATES, Fit

FITTED = ("weighted", "stack", "ridge", "elastic_net", "boosting")
"""Ways that are fitted on out-of-fold predictions."""

HOWS = ("mean", "median", *FITTED)
"""All ways to combine members."""


@dataclass(frozen=True)
class Cell:
    """What was fitted for the keypoints of one source that the same members predict.

    Args:
        source: of the rows.
        points: keypoint indices.
        members: indices of the selected members.
        fit: what was chosen, in words.
        rule: how the members are combined.
    """

    source: str
    points: tuple[int, ...]
    members: tuple[int, ...]
    fit: str
    rule: Rule


@dataclass(frozen=True)
class Ensemble:
    """A fitted ensemble.

    Args:
        how: one of `HOWS`.
        names: of its members.
        cells: what was fitted.
        keys: of its members, see `kfkd.submissions.panel.Panel`.
    """

    how: str
    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    keys: tuple[str, ...] = ()

    def predict(self, predicted: np.ndarray, source: np.ndarray) -> np.ndarray:
        """One prediction of the members'.

        Args:
            predicted: (m, n, k, 2) in pixels.
            source: str (n,): whose convention each image is answered by; members are averaged where
                nothing was fitted for it.

        Returns:
            float64 (n, k, 2).
        """
        found = combine(list(predicted.astype(np.float64)))
        for cell in self.cells:
            rows, members, points = source == cell.source, [*cell.members], [*cell.points]
            own = predicted[members][:, rows][:, :, points].astype(np.float64)
            found[np.flatnonzero(rows)[:, None], points] = cell.rule.predict(own)
        return found

    def as_dict(self) -> dict[str, Any]:
        """What was selected and fitted, as plain data; matrices are left to the file."""
        return {
            "how": self.how,
            "members": list(self.names),
            "cells": list(map(self._told, self.cells)),
        }

    def _told(self, cell: Cell) -> dict[str, Any]:
        names = [self.names[i] for i in cell.members]
        told = {"source": cell.source, "keypoints": list(cell.points), "members": names}
        weights = cell.rule.arrays().get("weights")
        if weights is None:
            return {**told, "fit": cell.fit}
        same = (weights == weights[:, :1]).all()
        rounded = (weights[:, 0] if same else weights).round(4).tolist()
        return {**told, "fit": cell.fit, "weights": dict(zip(names, rounded, strict=True))}


def fit_ensemble(panel: Panel, how: str, selected: bool = True) -> Ensemble:
    """Fits an ensemble.

    Args:
        panel: the members' out-of-fold predictions, none of them broken.
        how: "mean", "median", "weighted" (non-negative weights), "ridge", "elastic_net",
            "boosting", or "stack": what predicts best, by cross-validation, of all fitted ways.
        selected: average only members that a greedy forward selection takes; weights select by
            being 0.

    Raises:
        UnknownName: when there is no such way.
    """
    if how not in HOWS:
        raise UnknownName("way to combine predictions", how, list(HOWS))
    cells = []
    for source in np.unique(panel.source).tolist():
        rows = panel[panel.source == source]
        for points, members in rows.blocks():
            own = rows.members(members).points(points)
            taken = select(own) if selected and how != "weighted" else tuple(range(len(members)))
            fit, rule = _fit(own.members(taken), how)
            cells.append(Cell(source, points, tuple(members[i] for i in taken), fit, rule))
    return Ensemble(how, panel.names, tuple(cells), panel.keys)


def nested(
    panel: Panel,
    how: str,
    selected: bool = True,
    tell: Callable[[str], None] = lambda message: None,
) -> np.ndarray:
    """Predictions of an ensemble, each row's by one that was selected and fitted without its fold.

    Args:
        panel: the members' out-of-fold predictions.
        how: as for `fit_ensemble`.
        selected: likewise.
        tell: called with what is being done.

    Returns:
        float64 (n, k, 2) in pixels.
    """
    found = np.full(panel.truth.shape, np.nan)
    numbers = np.unique(panel.fold)
    for number in numbers if len(numbers) > 1 else ():
        tell(f"{how}: fold {number + 1} of {len(numbers)}")
        rows = panel.fold == number
        fitted = fit_ensemble(panel[~rows], how, selected)
        found[rows] = fitted.predict(panel.predicted[:, rows], panel.source[rows])
    return found


def _fit(panel: Panel, how: str) -> tuple[str, Rule]:
    members, points = panel.predicted.shape[0], panel.predicted.shape[2]
    unlabelled = np.isnan(panel.truth).all()
    if how == "median":
        return "median", Middle()
    if how == "mean" or unlabelled or (members == 1 and how == "weighted"):
        return "mean", equal_weights(members, points)
    # A stack may come out as what is simplest: its corrections have to earn their place.
    kinds: Sequence[str] = tuple(CANDIDATES) if how == "stack" else (how,)
    tried = {name: fit for kind in kinds for name, fit in CANDIDATES[kind].items()}
    best = _best(panel, tried)
    return best, tried[best](panel)


def _best(panel: Panel, tried: Mapping[str, Fit]) -> str:
    """The candidate with the least error on rows that it was not fitted on."""
    if len(tried) == 1:
        return next(iter(tried))
    folds, errors = panel.inner_folds, {}
    for name, fit in tried.items():
        found = np.full(panel.truth.shape, np.nan)
        for number in np.unique(folds):
            rows = folds == number
            if not rows.all():
                found[rows] = fit(panel[~rows]).predict(panel.predicted[:, rows])
        errors[name] = np.nan_to_num(rmse(panel.truth, found), nan=np.inf)
    return min(errors, key=lambda name: errors[name])
