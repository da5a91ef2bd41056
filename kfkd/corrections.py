"""Linear corrections of runs: fitted to their training labels, kept in their folders, applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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


def fit_corrections(run: Run, faces: FaceSet, quiet: bool = False) -> None:
    """Fits the corrections of all of a run's models and writes them; its record tells of them.

    Args:
        run: whose models are trained; run.json is left to the caller.
        faces: that it learned from, at most 6,000 of which are looked at.
        quiet: no progress.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _MOST_ROWS)).astype(int))
    seen = faces[rows]
    run.forget_corrections()
    for subset, facts in run.record["subsets"].items():
        facts.pop(FACT, None)
        if len(seen) < LEAST_ROWS:
            continue
        say(f"{subset}: comparing answers with the labels of {len(seen)} training images", quiet)
        chosen = list(run.skeleton.subset(subset))
        points = run.predict(seen.images, subset=subset, source=seen.source)[:, chosen]
        found = _fitted(points, seen.keypoints[:, chosen], _keys(run, subset, seen.source))
        if found:
            write_corrections(correction_path(run.folder, subset), found)
            facts[FACT] = [*found]
    run.forget_corrections()


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
    try:
        return {k: checked_correction(v, points) for k, v in read_arrays(path, keys).items()}
    except KfkdError as error:
        raise RunError(f"{path}: {error}") from error


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
    found, keys = points.copy(), _keys(run, subset, np.broadcast_to(source, len(points)))
    for key, correction in known.items():
        rows = keys == key
        found[rows, :, :2] = corrected(points[rows, :, :2], correction)
    return found


def _keys(run: Run, subset: str, source: np.ndarray) -> np.ndarray:
    """Which correction each image wants: its source's, where the model tells sources apart."""
    if not run.by_source(subset):
        return np.full(len(source), "all")
    return np.where(np.asarray(source) == "four_point", "four_point", "full")
