"""Linear corrections of runs: fitted to their training labels, kept in their folders, applied."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfkd.by_source import FOUR_POINT, join_sources
from kfkd.errors import KfkdError, RunError
from kfkd.faces import FaceSet
from kfkd.linear_correction import LEAST_ROWS, checked_correction, corrected, fit_correction
from kfkd.progress import say
from kfkd.storage.files import replacing
from kfkd.storage.stored_arrays import read_arrays

if TYPE_CHECKING:
    from kfkd.runs import Run

FACT = "linear_correction"
_MOST_ROWS = 6000


def correction_path(folder: Path, subset: str) -> Path:
    """The file with the corrections of a subset's model, one for each label source."""
    return folder / f"{subset}-correction.npz"


def fit_corrections(
    run: Run, faces: FaceSet, quiet: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """Fits the corrections of all of a run's models.

    Args:
        run: whose models are trained.
        faces: that it learned from, at most 6,000 of which are looked at.
        quiet: no progress.

    Returns:
        By subset and label source, for `keep_corrections`; none where there are too few faces.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _MOST_ROWS)).astype(int))
    if len(rows) < LEAST_ROWS:
        return {}
    seen, found = faces[rows], dict[str, dict[str, np.ndarray]]()
    plain = held(run, {})
    for subset in run.subsets:
        say(f"{subset}: comparing answers with the labels of {len(seen)} training images", quiet)
        chosen = list(run.skeleton.subset(subset))
        points = plain.predict(seen.images, subset=subset, source=seen.source)[:, chosen]
        fits = _fitted(points, seen.keypoints[:, chosen], _keys(run, subset, seen.source))
        found |= {subset: fits} if fits else {}
    return found


def held(run: Run, found: dict[str, dict[str, np.ndarray]]) -> Run:
    """The same run with these corrections in the place of its own, in memory alone.

    Args:
        run: any.
        found: of `fit_corrections`.
    """
    made = replace(run, record=deepcopy(run.record), _models=run._models)
    _hold(made, found)
    return made


def keep_corrections(run: Run, found: dict[str, dict[str, np.ndarray]]) -> None:
    """Gives a run these corrections in the place of its own; run.json is left to the caller.

    Args:
        run: whose folder they go to.
        found: of `fit_corrections`.
    """
    for subset, fits in found.items():
        write_corrections(correction_path(run.folder, subset), fits)
    _hold(run, found)


def _hold(run: Run, found: dict[str, dict[str, np.ndarray]]) -> None:
    for subset, facts in run.record["subsets"].items():
        facts.pop(FACT, None)
        if subset in found:
            facts[FACT] = [*found[subset]]
    run.hold_corrections({subset: found.get(subset, {}) for subset in run.subsets})


def _fitted(points: np.ndarray, labels: np.ndarray, keys: np.ndarray) -> dict[str, np.ndarray]:
    fits = {
        str(key): fit_correction(points[keys == key].astype(np.float64), labels[keys == key])
        for key in np.unique(keys)
    }
    return {key: fit for key, fit in fits.items() if fit is not None}


def write_corrections(path: Path, found: dict[str, np.ndarray]) -> None:
    """Writes corrections by label source, whole or not at all."""
    with replacing(path) as beside, beside.open("wb") as file:
        arrays = {key: one.astype(np.float32) for key, one in found.items()}
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_corrections(run: Run, subset: str) -> dict[str, np.ndarray]:
    """The corrections of a subset's model by label source; none where none were fitted.

    Raises:
        RunError: when run.json tells of some that are absent or broken.
    """
    if not (keys := run.record["subsets"][subset].get(FACT)):
        return {}
    path, points = correction_path(run.folder, subset), len(run.skeleton.subset(subset))
    if not path.is_file():
        raise RunError(f"{path} is absent, run.json tells of it")
    try:
        return {k: checked_correction(v, points) for k, v in read_arrays(path, keys).items()}
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
        points: (n, k, 2) in pixels, or more columns a point, which stay as they are.
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
        found[rows, :, :2] = corrected(points[rows, :, :2], correction)
    return found


def with_all_corrections(run: Run, subset: str, points: np.ndarray) -> np.ndarray:
    """All points that a subset's model has, of both label sources where it tells them apart.

    Args:
        run: the model's.
        subset: of the run's subsets.
        points: (n, p, 2) in pixels, `run.points(subset)`, or more columns a point.
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
