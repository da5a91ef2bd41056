"""Giving a run that was trained without them its corrections."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfkd.correction import CORRECTIONS
from kfkd.corrections import fit_corrections, held, keep_corrections
from kfkd.drawing.run_pictures import draw_run
from kfkd.errors import KfkdError, RunError
from kfkd.evaluation import check_own, faces_for
from kfkd.faces import FaceSet
from kfkd.learning.measuring import measured
from kfkd.learning.parts import learned_faces, recorded_parts
from kfkd.pipelines.batches import rows_for
from kfkd.progress import say
from kfkd.runs import Run, finished_run, load_run, save_record
from kfkd.storage.locks import locked


def correct(
    run: Run | str | Path,
    data: Any = None,
    *,
    kinds: Collection[str] = CORRECTIONS,
    quiet: bool = False,
) -> Run:
    """Fits a run's corrections to the labels that it learned from, as new trainings with
    `linear_correction` and `smooth_correction` do at their end, and scores it anew.

    All that the run answers from then on has them in it, exports and packed copies too. Its
    settings say so, so that the command that repeats it gives the same.

    Args:
        run: a finished run or its folder.
        data: the data that it was trained on; None = where run.json says that they lie.
        kinds: which, of "linear_correction" and "smooth_correction"; others that it has are gone.
        quiet: no progress.

    Returns:
        The run as it is now.

    Raises:
        KfkdError: when there is no such kind.
        RunError: when the run is unfinished, a packed copy, or too few of its rows have labels.
        DataError: when the data are not those that it was trained on.
        InUse: when another process is at work in its folder.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc-own", quiet=True)
        >>> kfkd.correct(run, quiet=True).metrics["model"]["kaggle_rmse"] > 0
        True
    """
    if not kinds or isinstance(kinds, str) or not {*kinds} <= {*CORRECTIONS}:
        raise KfkdError(f"kinds want some of {', '.join(CORRECTIONS)}. Received: {kinds!r:.100}")
    run = finished_run(run)
    _refuse_copies(run)
    faces = faces_for(run, data, quiet)
    check_own(run, faces)
    with locked(run.folder):
        run = replace(load_run(run.folder), _models=run._models)
        learned, held_out = _rows(run, faces)
        found = fit_corrections(run, learned, kinds, quiet)
        if not found:
            raise RunError(f"{run.folder}: fewer than 200 training images with labels correct none")
        before, own = run.metrics["model"], held(run, found)
        faces, on = (held_out, "validation") if len(held_out) else (learned, "training")
        own.record["metrics"], predicted = measured(own, faces, on)
        recipe = own.record["settings"]["recipe"]
        for kind in CORRECTIONS:
            recipe.pop(kind, None)
        recipe |= dict.fromkeys(kinds, True)
        keep_corrections(own, found)
        save_record(run.folder, own.record)
        draw_run(own, faces, predicted)
    key = "all" if before.get("kaggle_rmse") is None else "kaggle_rmse"
    told = f"{key} {before[key]:.3f} → {own.metrics['model'][key]:.3f} px, {on} images"
    say(f"{run.folder}: {told}", quiet)
    return own


def _refuse_copies(run: Run) -> None:
    """Refuses packed runs: the scores on their cards are of the run that they are copies of."""
    if not all((run.folder / f"{subset}.keras").is_file() for subset in run.subsets):
        raise RunError(
            f"{run.folder} is a packed copy: correct the run that it is a copy of, and pack that"
        )


def _rows(run: Run, faces: FaceSet) -> tuple[FaceSet, FaceSet]:
    """What it learned from, without labels that it was told to leave out, and what it held out."""
    found = recorded_parts(faces, run.record)
    labelled = [rows_for(faces[found.held_out], subset) for subset in run.subsets]
    held_out = found.held_out if any(map(len, labelled)) else found.held_out[:0]
    suspects = run.record["settings"].get("suspects")
    return learned_faces(faces, found, suspects), faces[held_out]
