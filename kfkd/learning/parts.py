"""Which rows a training learns from, watches and is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kfkd.faces import FaceSet
from kfkd.learning.settings import Settings
from kfkd.pipelines.splits import fold_split, grouped_split, recorded_fold
from kfkd.registry import Recipe
from kfkd.suspects import suspects_from

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
    inner = settings.fold is not None and chooses(settings.recipe)
    return _parts(faces, settings.split_by, settings.recipe.validation, settings.fold, inner)


def recorded_parts(faces: FaceSet, record: Mapping[str, Any]) -> Parts:
    """The rows of the training that a run.json tells of.

    Args:
        faces: all rows that it was given.
        record: its content.
    """
    split, inner = record["split"], bool(record["split"].get("watched"))
    share = record["settings"]["recipe"]["validation"] if inner else split["share"]
    return _parts(faces, split["seed"], share, recorded_fold(split), inner)


def learned_faces(faces: FaceSet, found: Parts, suspects: str | None) -> FaceSet:
    """The faces that a training learns from, without the labels that it was told to leave out.

    Args:
        faces: all rows.
        found: which of them are for what.
        suspects: see `kfkd.suspects`; None = every label is learned.
    """
    learned = faces[found.train]
    return suspects_from(suspects).left_out(learned) if suspects else learned


def _parts(
    faces: FaceSet, seed: int, share: float, fold: tuple[int, int] | None, inner: bool
) -> Parts:
    if fold is None:
        train, held_out = grouped_split(faces, share, seed)
        return Parts(train, held_out, held_out)
    rest, held_out = fold_split(faces, fold, seed)
    if not inner:
        return Parts(rest, held_out, held_out)
    train, watched = grouped_split(faces[rest], share, seed + _INNER)
    return Parts(rest[train], rest[watched], held_out)


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
