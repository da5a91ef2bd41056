"""One answer of several members: the broken ones left out, the others selected and combined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.ensembles.members import Member, answers, faults, require
from kfkd.errors import KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.folds.scores import FoldScorer
from kfkd.submissions.ensembles import combine
from kfkd.submissions.fitted_files import read_ensemble
from kfkd.submissions.fitting import FITTED, HOWS, Ensemble, fit_ensemble, nested
from kfkd.submissions.panel import Panel, panel_of

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Blend:
    """What members came to.

    Args:
        predicted: (n, k, 2) in pixels.
        members: that were combined.
        left_out: a sentence for each that is broken.
        fitted: the fitted ensemble; None = nothing was fitted or selected.
        scores: of the fitted ensemble on rows that it was not fitted on, see `FoldScorer`.
    """

    predicted: np.ndarray
    members: tuple[Member, ...]
    left_out: tuple[str, ...]
    fitted: Ensemble | None = None
    scores: dict[str, Any] | None = None


def blend(
    members: Sequence[Member],
    faces: FaceSet,
    how: str = "mean",
    weights: Sequence[float] | None = None,
    selected: bool | None = None,
    strict: bool = False,
    tell: Tell = lambda message: None,
) -> Blend:
    """Predicts faces by several members.

    Args:
        members: who is asked.
        faces: images; `source` says as whose labels each is to be answered.
        how: one of `kfkd.submissions.fitting.HOWS`, or the .npz of a fitted ensemble.
        weights: a number a member, for "weighted"; None = fitted.
        selected: average only members that lower the out-of-fold error; None = where all members
            have out-of-fold predictions and no weights are given.
        strict: refuse broken members rather than leave them out.
        tell: called with what is being done.

    Raises:
        UnknownName: when there is no such way.
        KfkdError: when no member is sound, one is broken and `strict` is set, or a way that is
            fitted lacks out-of-fold predictions.
    """
    kept = how.endswith(".npz")
    if not kept and how not in HOWS:
        raise UnknownName("way to combine predictions", how, list(HOWS))
    if kept or selected or (how in FITTED and weights is None and not _one_by_one(members, how)):
        require(members)
    shares = _shares(weights, members, how)
    sound, left_out, predicted = _sound(members, faces, tell)
    if left_out and strict:
        raise KfkdError("; ".join(left_out))
    if not sound:
        raise KfkdError(f"no member is left: {'; '.join(left_out)}")
    own = tuple(members[i] for i in sound)
    learned = all(m.out_of_fold is not None for m in own) and weights is None
    if kept or (learned and (how in FITTED or selected is not False)):
        return _fitted(own, left_out, predicted, faces, how, selected is not False, tell)
    given = None if shares is None else [shares[i] for i in sound]
    return Blend(combine(predicted, how, given), own, tuple(left_out))


def leave_out(names: Sequence[str], found: Sequence[str | None]) -> tuple[list[int], list[str]]:
    """Indices of sound members, and a sentence for each of the others.

    Args:
        names: of all members.
        found: what is broken about each, None = nothing.
    """
    sound = [i for i, what in enumerate(found) if what is None]
    told = [f"{names[i]} is broken: {what}" for i, what in enumerate(found) if what is not None]
    return sound, told


def _one_by_one(members: Sequence[Member], how: str) -> bool:
    """Whether "weighted" without weights is the mistake that `combine` explains."""
    return how == "weighted" and all(m.out_of_fold is None for m in members)


def _shares(
    weights: Sequence[float] | None, members: Sequence[Member], how: str
) -> Sequence[float] | None:
    """The weights as given, checked before anything is predicted."""
    if weights is not None and how != "weighted":
        raise KfkdError(f'weights are for ensemble="weighted" only. Received: ensemble={how!r}')
    if weights is not None or _one_by_one(members, how):
        combine([np.zeros((1, 1, 2))] * len(members), how, weights)
    return weights


def _sound(
    members: Sequence[Member], faces: FaceSet, tell: Tell
) -> tuple[list[int], list[str], list[np.ndarray]]:
    """Members that are not broken, what is of the others, and the predictions of the sound."""
    first, left_out = leave_out([m.name for m in members], faults(members))
    found, broken = answers([members[i] for i in first], faces, tell)
    sound = [i for i, answer in zip(first, found, strict=True) if answer is not None]
    return sound, [*left_out, *broken], [answer for answer in found if answer is not None]


def _fitted(
    members: tuple[Member, ...],
    left_out: Sequence[str],
    predicted: Sequence[np.ndarray],
    faces: FaceSet,
    how: str,
    selected: bool,
    tell: Tell,
) -> Blend:
    folds = require(members)
    panel = panel_of(folds, [member.name for member in members])
    _refuse_other_points(panel, predicted[0])
    if how.endswith(".npz"):
        fitted, scores = read_ensemble(Path(how).expanduser(), panel), None
    else:
        tell(f"fitting: {how}")
        fitted = fit_ensemble(panel, how, selected)
        scores = FoldScorer(folds[0]).scores(nested(panel, how, selected, tell))
    answer = fitted.predict(np.stack(predicted), faces.source)
    return Blend(answer, members, tuple(left_out), fitted, scores)


def _refuse_other_points(panel: Panel, predicted: np.ndarray) -> None:
    if panel.truth.shape[1:] != predicted.shape[1:]:
        raise KfkdError(
            f"out-of-fold predictions of {panel.truth.shape[1]} keypoints do not fit runs that "
            f"predict {predicted.shape[1]}"
        )
