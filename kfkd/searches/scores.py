"""What a search makes small: scores of a run on its held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kfkd.errors import KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.scoring import mean_faces, score_faces

SHARES = ("nme", "nme_box", "failure_rate")
"""Scores that are shares and not pixels."""

_USUAL = ("nme", "nme_box", "kaggle_rmse", "all")
_NOT_SMALL = ("auc",)


def score_of(metrics: Mapping[str, Any], name: str) -> tuple[float | None, float | None]:
    """A score of a run, and the mean face's.

    Args:
        metrics: the run's.
        name: a score there: "kaggle_rmse", "all", a subset or source, or of 68, 58 or own points
            "nme", "nme_box", "failure_rate", "pixel_mae".

    Returns:
        Both scores; None where they were not measured.
    """
    landmarks = (metrics.get("landmarks") or {}).get("scores", {})
    if name in landmarks:
        model, mean_face = landmarks[name]
        return model, mean_face
    return metrics["model"].get(name), metrics["mean_face"].get(name)


def chosen_objective(
    name: str | None, learned: FaceSet, held_out: FaceSet, subsets: Sequence[str]
) -> str:
    """The score to make small: as asked, else Kaggle's own for Kaggle's points, NME for others.

    Args:
        name: as asked; None = the usual one of what can be measured.
        learned: faces to learn from, for the mean face.
        held_out: faces to measure on.
        subsets: what is learned.

    Raises:
        UnknownName: when there is no such score, or it cannot be measured here.
        KfkdError: when nothing can.
    """
    known = [i for subset in subsets for i in held_out.skeleton.subset(subset)]
    # Perfect answers, with gaps where no model answers: what has a score then will have one.
    perfect = np.full(held_out.keypoints.shape, np.nan, np.float32)
    perfect[:, known] = held_out.keypoints[:, known]
    metrics = score_faces(held_out, perfect, mean_faces(learned)).as_dict()
    landmarks = (metrics.get("landmarks") or {}).get("scores", {})
    names = [n for n in (*metrics["model"], *landmarks) if n not in _NOT_SMALL]
    # Kaggle's weights mean nothing to other points.
    unfit = "kaggle_rmse" if landmarks else None
    fit = [n for n in names if n != unfit and score_of(metrics, n)[0] is not None]
    if not fit:
        raise KfkdError(f"nothing can be measured on {len(held_out)} held-out images")
    if name is None:
        return next((usual for usual in _USUAL if usual in fit), fit[0])
    if name not in fit:
        raise UnknownName("objective of this search", name, fit)
    return name


def shown(score: float | None, name: str) -> str:
    """A score for people: pixels, or a share as per cent.

    Args:
        score: None = none.
        name: which one it is.
    """
    if score is None:
        return "—"
    return f"{100 * score:.2f} %" if name in SHARES else f"{score:.3f} px"
