"""Corrections of runs: fitted to their training labels, kept in their folders, applied."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfkd.by_source import FOUR_POINT, join_sources
from kfkd.correction import CORRECTIONS, Correction, array_names, checked, fitted
from kfkd.errors import KfkdError, RunError
from kfkd.faces import FaceSet
from kfkd.linear_correction import LEAST_ROWS
from kfkd.progress import say
from kfkd.storage.files import replacing
from kfkd.storage.stored_arrays import read_arrays

if TYPE_CHECKING:
    from kfkd.runs import Run

Found = dict[str, dict[str, Correction]]
"""Corrections by subset and label source."""
_MOST_ROWS = 6000


def correction_path(folder: Path, subset: str) -> Path:
    """The file with the corrections of a subset's model, one for each label source."""
    return folder / f"{subset}-correction.npz"


def fit_corrections(
    run: Run, faces: FaceSet, kinds: Collection[str] = CORRECTIONS, quiet: bool = False
) -> Found:
    """Fits the corrections of all of a run's models.

    Args:
        run: whose models are trained.
        faces: that it learned from, at most 6,000 of which are looked at.
        kinds: which of `kfkd.correction.CORRECTIONS`.
        quiet: no progress.

    Returns:
        By subset and label source, for `keep_corrections`; none where there are too few faces.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _MOST_ROWS)).astype(int))
    if len(rows) < LEAST_ROWS:
        return {}
    seen, found = faces[rows], Found()
    plain = held(run, {})
    for subset in run.subsets:
        say(f"{subset}: comparing answers with the labels of {len(seen)} training images", quiet)
        chosen = list(run.skeleton.subset(subset))
        told = plain.predict_with_doubt(seen.images, subset=subset, source=seen.source)
        points = np.concatenate([told[0], told[1][..., None]], axis=-1)[:, chosen]
        keys, fits = _keys(run, subset, seen.source), dict[str, Correction]()
        for key in np.unique(keys):
            part, labels = keys == key, seen.keypoints[keys == key][:, chosen]
            if fit := fitted(points[part], labels, seen.group[part], tuple(kinds)):
                fits[str(key)] = fit
        found |= {subset: fits} if fits else {}
    return found


def held(run: Run, found: Found) -> Run:
    """The same run with these corrections in the place of its own, in memory alone.

    Args:
        run: any.
        found: of `fit_corrections`.
    """
    made = replace(run, record=deepcopy(run.record), _models=run._models)
    _hold(made, found)
    return made


def keep_corrections(run: Run, found: Found) -> None:
    """Gives a run these corrections in the place of its own; run.json is left to the caller.

    Args:
        run: whose folder they go to.
        found: of `fit_corrections`.
    """
    for subset, fits in found.items():
        write_corrections(correction_path(run.folder, subset), fits)
    _hold(run, found)


def _hold(run: Run, found: Found) -> None:
    for subset, facts in run.record["subsets"].items():
        for kind in CORRECTIONS:
            facts.pop(kind, None)
            if keys := [key for key, fit in found.get(subset, {}).items() if kind in fit.kinds]:
                facts[kind] = keys
    run.hold_corrections({subset: found.get(subset, {}) for subset in run.subsets})


def write_corrections(path: Path, found: dict[str, Correction]) -> None:
    """Writes corrections by label source, whole or not at all."""
    arrays = {name: one for key, fit in found.items() for name, one in fit.arrays(key).items()}
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_corrections(run: Run, subset: str) -> dict[str, Correction]:
    """The corrections of a subset's model by label source; none where none were fitted.

    Raises:
        RunError: when run.json tells of some that are absent or broken.
    """
    facts = run.record["subsets"][subset]
    kinds = {
        key: tuple(kind for kind in CORRECTIONS if key in facts.get(kind, ()))
        for key in sorted({key for kind in CORRECTIONS for key in facts.get(kind, ())})
    }
    if not kinds:
        return {}
    path, points = correction_path(run.folder, subset), len(run.skeleton.subset(subset))
    if not path.is_file():
        raise RunError(f"{path} is absent, run.json tells of it")
    names = [name for key, own in kinds.items() for name in array_names(key, own)]
    try:
        arrays = read_arrays(path, names)
        return {key: checked(arrays, key, own, points) for key, own in kinds.items()}
    except KfkdError as error:
        told = "" if str(path) in str(error) else f"{path}: "
        raise RunError(f"{told}{error}") from error


def with_correction(
    run: Run, subset: str, points: np.ndarray, source: np.ndarray | str
) -> np.ndarray:
    """Points of a subset's model as the labels would have them.

    Args:
        run: the model's.
        subset: of the run's subsets.
        points: (n, k, 3): x, y and their doubt in pixels; doubts stay as they are.
        source: of each image, or of all.

    Returns:
        As `points`; the same where the run corrects nothing.
    """
    if not (known := run.corrections(subset)):
        return points
    each = np.broadcast_to(source if run.by_source(subset) else "full", len(points))
    found, keys = points.copy(), _keys(run, subset, each)
    for key, correction in known.items():
        rows = keys == key
        found[rows] = correction.corrected(points[rows])
    return found


def with_all_corrections(run: Run, subset: str, points: np.ndarray) -> np.ndarray:
    """All points that a subset's model has, of both label sources where it tells them apart.

    Args:
        run: the model's.
        subset: of the run's subsets.
        points: (n, p, 3), `run.points(subset)`: x, y and their doubt in pixels.
    """
    if not run.by_source(subset):
        return with_correction(run, subset, points, "full")
    full, four = (
        with_correction(run, subset, join_sources(points, source), source)
        for source in ("full", "four_point")
    )
    return np.concatenate([full, four[:, list(FOUR_POINT)]], axis=1)


def _keys(run: Run, subset: str, source: np.ndarray) -> np.ndarray:
    """Which correction each image wants: its source's, where the model tells sources apart."""
    if not run.by_source(subset):
        return np.full(len(source), "all")
    return np.where(np.asarray(source) == "four_point", "four_point", "full")
