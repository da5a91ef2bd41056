"""Figures of a run: how its training went, what it predicts, and how many faces it gets right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.analysis.rows import Predicted, predicted_rows
from kfkd.drawing.pictures import best_sheet, loss_curves, prediction_sheet, worst_sheet
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.landmarks.curves import ced_curve
from kfkd.landmarks.scores import eye_errors
from kfkd.nme import length_told
from kfkd.runs import Run, finished_run, load_run
from kfkd.several import several

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHICH = ("worst", "best", "first")
"""Which faces a sheet of predictions shows."""


def loss_figure(run: Run | str | Path) -> Figure:
    """Train and validation RMSE of a run by epoch, the mean face as a line, a panel a subset.

    Args:
        run: a run or its folder; it may still be in training.

    Returns:
        The figure, a Matplotlib one.

    Raises:
        RunError: when the run keeps no history, as packed ones do not.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.loss_figure(run).savefig("loss.png")
    """
    run = load_run(run)
    history = {subset: rows for subset, rows in run.history().items() if rows}
    if not history:
        raise RunError(f"{run.folder}: no history.csv with an epoch, as in packed runs")
    parts = run.record["subsets"]
    flat = {subset: parts[subset].get("mean_face") for subset in history}
    return loss_curves(history, run.name, {k: v for k, v in flat.items() if v is not None})


def predictions_figure(
    run: Run | str | Path,
    data: Any = None,
    which: str = "worst",
    count: int = 24,
    *,
    part: str = "validation",
    quiet: bool = False,
) -> Figure:
    """Faces with their labels (blue) and a run's predictions (red).

    Args:
        run: a finished run or its folder.
        data: labelled faces, see `kfkd.load_faces`; None = the run's own data.
        which: "worst" = those with the most squared error, "best" = those with the least RMSE,
            "first" = the first ones of the data.
        count: how many at most.
        part: "validation" = of the images that the run's split holds out; "all" = of every row.
        quiet: no progress.

    Returns:
        The figure; titles give each face's row and error in pixels.

    Raises:
        DataError: when the data carries no labels, or is not the run's where its split is asked.
        KfkdError: when `count` or `part` makes no sense.
        RunError: when the run is unfinished or broken.
        UnknownName: when `which` is nothing of these.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.predictions_figure(run, which="best", count=8, quiet=True).savefig("best.png")
    """
    if which not in WHICH:
        raise UnknownName("choice of faces", which, list(WHICH))
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise KfkdError(f"count wants a whole number from 1. Received: {count!r}")
    run = finished_run(run)
    seen = predicted_rows([run], data, part, quiet)
    if which == "first":
        rows = np.arange(min(count, len(seen.faces)))
        return prediction_sheet(seen.faces, seen.points, rows, f"{run.name}: {seen.told}")
    sheet = best_sheet if which == "best" else worst_sheet
    return sheet(seen.faces, seen.points, count)


def ced_figure(
    runs: Run | str | Path | Sequence[Run | str | Path],
    data: Any = None,
    *,
    part: str = "validation",
    quiet: bool = False,
) -> Figure:
    """Which share of the images has a normalised mean error of at most x, a curve for each run.

    Args:
        runs: a finished run or its folder, or several.
        data: labelled faces, see `kfkd.load_faces`; None = each run's own data.
        part: "validation" = the images that the runs' splits hold out, the same for all; "all" =
            every row.
        quiet: no progress.

    Returns:
        The figure, with the mean face of the first run's training labels dashed; its legend gives
        NME, AUC and failure rate.

    Raises:
        DataError: when the data carries no labels, or the runs hold out different images.
        KfkdError: when the keypoints have no two to normalise errors by.
        RunError: when a run is unfinished or broken.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.ced_figure(run, quiet=True).savefig("ced.png")
    """
    opened = [finished_run(run) for run in several(runs, Run | str | Path, "runs or their folders")]
    if not opened:
        raise KfkdError("ced_figure wants at least one run. Received: none")
    seen = [predicted_rows([run], data, part, quiet) for run in opened]
    _check_same(opened, seen)
    told = length_told(seen[0].faces.skeleton)
    errors = [
        eye_errors(one.faces, one.points, run.mean_face())
        for run, one in zip(opened, seen, strict=True)
    ]
    named = {name: e["model"] for name, e in zip(_names(opened), errors, strict=True)}
    return ced_curve({**named, "mean face": errors[0]["mean face"]}, unit=told)


def _check_same(runs: Sequence[Run], seen: Sequence[Predicted]) -> None:
    """Refuses curves over different images, which say nothing of each other."""
    first = seen[0].faces
    for run, one in zip(runs, seen, strict=True):
        same = one.faces.origin == first.origin and np.array_equal(one.faces.ids, first.ids)
        if not same or one.faces.skeleton.normaliser != first.skeleton.normaliser:
            raise DataError(
                f"{runs[0].folder} and {run.folder} are measured on different images or by "
                'different points; name data for all of them, and ask part="all" where they hold '
                "out other rows each"
            )


def _names(runs: Sequence[Run]) -> list[str]:
    """What a legend calls runs: their entries, or where two are of one their folders."""
    entries = [run.name for run in runs]
    return entries if len(set(entries)) == len(runs) else [str(run.folder) for run in runs]
