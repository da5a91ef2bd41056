"""Giving a run that was trained without them its linear corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kfkd.corrections import FACT, fit_corrections
from kfkd.errors import RunError
from kfkd.evaluation import faces_for, validation_rows
from kfkd.learning.measuring import measured
from kfkd.progress import say
from kfkd.runs import Run, finished_run, save_record
from kfkd.storage.locks import locked


def correct(run: Run | str | Path, data: Any = None, *, quiet: bool = False) -> Run:
    """Fits a run's linear corrections to the labels that it learned from, as new trainings with
    `linear_correction` do at their end, and scores it anew.

    All that the run answers from then on has them in it, exports and packed copies too. Its
    settings say so, so that the command that repeats it gives the same.

    Args:
        run: a finished run or its folder.
        data: the data that it was trained on; None = where run.json says that they lie.
        quiet: no progress.

    Returns:
        The run as it is now.

    Raises:
        RunError: when the run is unfinished, or too few of its rows have labels.
        DataError: when the data are not those that it was trained on.
        InUse: when another process is at work in its folder.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.correct(run, quiet=True).metrics["model"]["kaggle_rmse"] > 0
        True
    """
    run = finished_run(run)
    faces = faces_for(run, data, quiet)
    held_out = validation_rows(run, faces) if run.record["split"]["share"] else np.empty(0, int)
    learned = np.setdiff1d(np.arange(len(faces)), held_out)
    with locked(run.folder):
        fit_corrections(run, faces[learned], quiet)
        if not any(facts.get(FACT) for facts in run.record["subsets"].values()):
            raise RunError(f"{run.folder}: fewer than 200 training images with labels correct none")
        of, on = (held_out, "validation") if len(held_out) else (learned, "training")
        before = run.metrics["model"]
        run.record["metrics"] = measured(run, faces[of], on)[0]
        run.record["settings"]["recipe"][FACT] = True
        save_record(run.folder, run.record)
    key = "all" if before.get("kaggle_rmse") is None else "kaggle_rmse"
    told = f"{key} {before[key]:.3f} → {run.metrics['model'][key]:.3f} px, {on} images"
    say(f"{run.folder}: {told}", quiet)
    return run
