"""One answer of several members: the broken ones left out, the others selected and combined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.ensembles.averaging import Averaged, averaged
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
        averaged: what averaging nets wins; None where it is not told: of other ways than plain
            means of all members, given weights and the nets of one cross-validation's model.
    """

    predicted: np.ndarray
    members: tuple[Member, ...]
    left_out: tuple[str, ...]
    fitted: Ensemble | None = None
    scores: dict[str, Any] | None = None
    averaged: Averaged | None = None


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
    _check(members, how, weights, selected)
    first, left_out = leave_out([m.name for m in members], faults(members))
    _check_left([members[i] for i in first], left_out, strict)
    fit = partial(_fit, how=how, weights=weights, selected=selected, tell=tell)
    # Before any net predicts: what cannot be fitted or opened is refused at once.
    fitted = fit([members[i] for i in first], left_out)
    nets, broken = answers([members[i] for i in first], faces, tell)
    sound = [i for i, own in zip(first, nets, strict=True) if own]
    kept, left_out = tuple(members[i] for i in sound), [*left_out, *broken]
    _check_left(kept, left_out, strict)
    nets = [own for own in nets if own]
    predicted = [combine(own) for own in nets]
    if len(kept) < len(first):
        fitted = fit(kept, left_out)
    given = None if weights is None else [weights[i] for i in sound]
    if fitted is None:
        mean = averaged(nets, given) if how in ("mean", "weighted") else None
        return Blend(combine(predicted, how, given), kept, tuple(left_out), averaged=mean)
    ensemble, scores = fitted
    answer = ensemble.predict(np.stack(predicted), faces.source)
    mean = averaged(nets) if how == "mean" and len(nets) == 1 else None
    return Blend(answer, kept, tuple(left_out), ensemble, scores, mean)


def leave_out(names: Sequence[str], found: Sequence[str | None]) -> tuple[list[int], list[str]]:
    """Indices of sound members, and a sentence for each of the others.

    Args:
        names: of all members.
        found: what is broken about each, None = nothing.
    """
    sound = [i for i, what in enumerate(found) if what is None]
    told = [f"{names[i]} is broken: {what}" for i, what in enumerate(found) if what is not None]
    return sound, told


def _check(
    members: Sequence[Member], how: str, weights: Sequence[float] | None, selected: bool | None
) -> None:
    """Refuses what cannot be combined so, before anything is predicted."""
    kept = how.endswith(".npz")
    if not kept and how not in HOWS:
        raise UnknownName("way to combine predictions", how, list(HOWS))
    if kept and not Path(how).expanduser().is_file():
        raise KfkdError(f"{how} is no file; kfkd ensemble … --out DIR writes fitted ensembles")
    if weights is not None and how != "weighted":
        raise KfkdError(f'weights are for ensemble="weighted" only. Received: ensemble={how!r}')
    if weights is not None and selected:
        raise KfkdError("select chooses members by what is fitted; with weights leave it away")
    # "weighted" without weights, of runs alone, is the mistake that `combine` explains.
    alone = how == "weighted" and all(m.out_of_fold is None for m in members)
    if weights is not None or alone:
        combine([np.zeros((1, 1, 2))] * len(members), how, weights)
    elif kept or selected or how in FITTED:
        require(members)


def _check_left(left: Sequence[Member], left_out: Sequence[str], strict: bool) -> None:
    if left_out and strict:
        raise KfkdError("; ".join(left_out))
    if not left:
        raise KfkdError(f"no member is left: {'; '.join(left_out)}")


def _fit(
    members: Sequence[Member],
    left_out: Sequence[str],
    how: str,
    weights: Sequence[float] | None,
    selected: bool | None,
    tell: Tell,
) -> tuple[Ensemble, dict[str, Any] | None] | None:
    """The fitted ensemble and its scores; None where nothing is fitted or selected."""
    learned = all(m.out_of_fold is not None for m in members) and weights is None
    chosen = selected is not False
    if not how.endswith(".npz") and not (learned and (how in FITTED or chosen)):
        return None
    folds = require(members)
    panel = panel_of(folds, [member.name for member in members])
    _refuse_other_points(panel, members)
    if how.endswith(".npz"):
        try:
            return read_ensemble(Path(how).expanduser(), panel), None
        except KfkdError as error:
            raise KfkdError("; ".join([str(error), *left_out])) from error
    tell(f"fitting: {how}")
    scores = FoldScorer(folds[0]).scores(nested(panel, how, chosen, tell))
    return fit_ensemble(panel, how, chosen), scores


def _refuse_other_points(panel: Panel, members: Sequence[Member]) -> None:
    for run in (run for member in members for run in member.runs):
        if panel.truth.shape[1] != len(run.skeleton):
            raise KfkdError(
                f"out-of-fold predictions of {panel.truth.shape[1]} keypoints do not fit runs that "
                f"predict {len(run.skeleton)}"
            )
