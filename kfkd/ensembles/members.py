"""Members of an ensemble: runs, or a model's cross-validation, whose nets answer as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.ensembles.packed import packed_ensemble
from kfkd.errors import BrokenAnswer, KfkdError, RunError
from kfkd.faces import FaceSet
from kfkd.folds.answering import answers_digest
from kfkd.folds.cross_validation import CrossValidation, is_cross_validation, load_cross_validation
from kfkd.runs import Run, finished_run
from kfkd.several import several
from kfkd.submissions.broken import broken_answers, fault
from kfkd.submissions.out_of_fold import OutOfFold


@dataclass(frozen=True)
class Member:
    """One voice of an ensemble.

    Args:
        name: how it is called.
        runs: whose predictions are averaged: one, all folds and seeds of a cross-validation, or
            the nets of a packed ensemble.
        place: its folder, a cross-validation's with the model behind it.
        out_of_fold: predictions of the training rows; None = there are none.
        stale: what is wrong with these: a run has come to answer otherwise since; None = nothing.
    """

    name: str
    runs: tuple[Run, ...]
    place: Path
    out_of_fold: OutOfFold | None = None
    stale: str | None = None


def members_of(given: Any) -> list[Member]:
    """The members that a user names.

    Args:
        given: runs, cross-validations, or their folders, packed runs and ensembles by folder or
            name, one or several; a cross-validation of several models gives a member each.

    Raises:
        RunError: when a folder holds neither, or something unfinished.
    """
    kind = Run | CrossValidation | str | Path
    found: list[Member] = []
    for item in several(given, kind, "runs, cross-validations or their folders"):
        found += _opened(item)
    names = [member.name for member in found]
    return [_renamed(m, names) if names.count(m.name) > 1 else m for m in found]


def validations(given: Any) -> list[CrossValidation | str | Path]:
    """Cross-validations or their folders, one or several, as a list.

    Raises:
        KfkdError: when it is something else.
    """
    return several(given, CrossValidation | str | Path, "cross-validations or their folders")


def out_of_folds(given: Any) -> dict[str, OutOfFold]:
    """Out-of-fold predictions of cross-validations by model, without opening a run.

    Args:
        given: cross-validations or their folders, one or several.

    Raises:
        RunError: when a folder holds none, or an unfinished one.
    """
    found: list[tuple[str, Path, OutOfFold]] = []
    for item in validations(given):
        validation = finished_validation(item)
        found += [(m, validation.out, validation.out_of_fold(m)) for m in validation.models]
    names = [name for name, _, _ in found]
    return {
        (f"{folder}/{name}" if names.count(name) > 1 else name): oof for name, folder, oof in found
    }


def answers(
    members: Sequence[Member],
    faces: FaceSet,
    tell: Callable[[str], None] = lambda message: None,
) -> tuple[list[list[np.ndarray]], list[str]]:
    """What each member's sound runs predict for faces, looking thoroughly.

    Args:
        members: who is asked.
        faces: images, and as whose labels each is to be answered.
        tell: called with what is being done.

    Returns:
        For each member (n, k, 2) in pixels of each sound run; and a sentence for each run that is
        broken.
    """
    runs = [(i, run) for i, member in enumerate(members) for run in member.runs]
    predicted: list[np.ndarray] = []
    for number, (_, run) in enumerate(runs, 1):
        tell(f"predicting {number}/{len(runs)}: {run.folder}")
        predicted.append(_answer(run, faces))
    broken = broken_answers(predicted, faces.images.shape[2])
    found: list[list[np.ndarray]] = [[] for _ in members]
    for n, points in enumerate(predicted):
        if n not in broken:
            found[runs[n][0]].append(points)
    return found, [f"{runs[n][1].folder} is broken: {what}" for n, what in broken.items()]


def faults(members: Sequence[Member]) -> list[str | None]:
    """What is broken about each member's out-of-fold predictions."""
    return [None if m.out_of_fold is None else fault(m.out_of_fold) for m in members]


def _answer(run: Run, faces: FaceSet) -> np.ndarray:
    try:
        # Another object of the same folder: its nets leave the memory with it.
        own = replace(run, _models=dict(run._models))
        return own.predict(faces.images, source=faces.source, thorough=True)
    except BrokenAnswer:
        return np.full((len(faces), len(run.skeleton), 2), np.nan, np.float32)


def _opened(item: Run | CrossValidation | str | Path) -> list[Member]:
    if isinstance(item, str | Path) and (nets := packed_ensemble(item)):
        return [Member(nets.name, nets.runs, nets.folder)]
    if isinstance(item, CrossValidation) or (
        not isinstance(item, Run) and is_cross_validation(item)
    ):
        validation = finished_validation(item)
        return [of_folds(validation, name) for name in validation.models]
    found = run_or_folds(item)
    return (
        [Member(found.name, (found,), found.folder)]
        if isinstance(found, Run)
        else [of_folds(*found)]
    )


def of_folds(validation: CrossValidation, name: str) -> Member:
    """A model of a cross-validation as a member: the mean of its folds and seeds.

    Args:
        validation: finished.
        name: of its models.
    """
    runs = tuple(map(finished_run, validation.run_folders(name)))
    known = [row.get("answers") for row in validation.models[name]["folds"]]
    changed = [r for r, digest in zip(runs, known, strict=True) if answers_digest(r) != digest]
    stale = changed and (
        f"{changed[0].folder} answers otherwise than when its out-of-fold predictions were made; "
        f"renew them with: {validation.facts['command']}"
    )
    oof = validation.out_of_fold(name)
    return Member(name, runs, validation.out / name, oof, stale or None)


def finished_validation(item: CrossValidation | str | Path) -> CrossValidation:
    """A cross-validation that came to its end, opened where its folder is given.

    Raises:
        RunError: when it did not, or the folder holds none.
    """
    found = item if isinstance(item, CrossValidation) else load_cross_validation(item)
    if not found.finished:
        raise RunError(f"{found.out} is not finished; go on with: {found.facts['command']}")
    return found


def run_or_folds(
    given: Run | CrossValidation | str | Path,
) -> Run | tuple[CrossValidation, str]:
    """A run, or a cross-validation and which of its models is meant.

    Args:
        given: either, its folder, or the folder of a model in a cross-validation's.

    Returns:
        The run; or the cross-validation and its only model or the one whose folder is given.

    Raises:
        RunError: when it is unfinished, or neither is there.
        KfkdError: when a cross-validation has several models and none is named.
    """
    if isinstance(given, Run):
        return finished_run(given)
    if isinstance(given, CrossValidation) or is_cross_validation(given):
        found = finished_validation(given)
        if not found.models:
            raise RunError(f"{found.out} is of no model")
        if len(found.models) > 1:
            told = ", ".join(str(found.out / model) for model in found.models)
            raise KfkdError(f"{found.out} is of several models; name the folder of one: {told}")
        return found, next(iter(found.models))
    place = Path(given).expanduser()
    if (
        is_cross_validation(place.parent)
        and place.name in load_cross_validation(place.parent).models
    ):
        return finished_validation(place.parent), place.name
    return finished_run(given)


def _renamed(member: Member, names: Sequence[str]) -> Member:
    """A member with its folder's name where several are of one model."""
    own = member.place.name == member.name
    return replace(member, name=str(member.place) if own else f"{member.place}/{member.name}")


def require(members: Sequence[Member]) -> list[OutOfFold]:
    """Out-of-fold predictions of every member.

    Raises:
        KfkdError: when one has none, or they are of before its nets were corrected.
    """
    found = []
    for member in members:
        if member.stale:
            raise KfkdError(member.stale)
        if member.out_of_fold is None:
            raise KfkdError(
                "a fitted or selected ensemble wants cross-validations (kfkd folds), whose "
                f"out-of-fold predictions it learns from. Received: {member.place}"
            )
        found.append(member.out_of_fold)
    return found
