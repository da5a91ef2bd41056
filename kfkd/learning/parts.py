"""Which rows a training learns from, watches and is measured on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kfkd.faces import FaceSet
from kfkd.learning.settings import Settings
from kfkd.pipelines.splits import fold_split, grouped_split
from kfkd.registry import Recipe

_INNER = 2**31
"""Added to the seed of an inner split: no user's seed, so it is independent of the folds."""


class Parts(NamedTuple):
    """Ascending row indices.

    Args:
        train: what is learned.
        watched: what is measured after each epoch; a recipe may choose epoch and rate by it.
        held_out: what the finished run is measured on.
    """

    train: np.ndarray
    watched: np.ndarray
    held_out: np.ndarray


def parts(faces: FaceSet, settings: Settings) -> Parts:
    """The rows of a training.

    A fold of a cross-validation is held out from everything: a recipe that chooses its epoch or its
    rate by a validation score gets rows of its own for that, out of the rest.

    Args:
        faces: all rows.
        settings: the training's.
    """
    share, seed = settings.recipe.validation, settings.split_by
    if settings.fold is None:
        train, held_out = grouped_split(faces, share, seed)
        return Parts(train, held_out, held_out)
    rest, fold = fold_split(faces, settings.fold, seed)
    if not chooses(settings.recipe):
        return Parts(rest, fold, fold)
    train, watched = grouped_split(faces[rest], share, seed + _INNER)
    return Parts(rest[train], rest[watched], fold)


def chooses(recipe: Recipe) -> bool:
    """Whether a training decides something by a validation score."""
    return bool(recipe.restore_best or recipe.plateau or recipe.early_stopping is not None)


def split_facts(found: Parts, settings: Settings) -> dict[str, Any]:
    """What run.json keeps of the split."""
    fold = settings.fold
    facts: dict[str, Any] = {
        "seed": settings.split_by,
        "share": settings.recipe.validation if fold is None else round(1 / fold[1], 5),
        "train": len(found.train),
        "validation": len(found.held_out),
    }
    if fold is not None:
        inner = found.watched is not found.held_out
        facts |= {"fold": list(fold), "watched": len(found.watched) if inner else 0}
    return facts
