"""Where labels lie beside the answers of nets that learn from mirror images too.

The labels of a source may all lie a little to one side of where they would be if a mirror image
turned about its middle: Kaggle's four-point labels by 1.2 pixels, as measured. A net that learns
images and mirror images alike meets such labels on both sides and answers their mean. What it lacks
then is one number for each label source, the same for all its points and faces. A training with
`centre_labels` needs none of this: it measures the number before and learns without it, see
`kfkd.mirror_axis`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.evaluation import check_keypoints
from kfkd.faces import FaceSet
from kfkd.runs import RECORD, Run, finished_run, save_record
from kfkd.storage.files import read_json
from kfkd.storage.locks import locked


def fit_label_offsets(run: Run | str | Path, data: Any, *, quiet: bool = False) -> Run:
    """Fits how far labels lie beside a run's answers in x, and keeps it in the run's run.json.

    All that the run predicts from then on has it in it, exports and packed copies too. The rows
    should be those that the run learned from: what held-out rows say would flatter their score.

    Args:
        run: a finished run or its folder.
        data: labelled faces, see `kfkd.load_faces`, or where they are.
        quiet: no progress.

    Returns:
        The run as it is now.

    Raises:
        RunError: when there is no such run, or it is unfinished.
        DataError: when the faces have other keypoints than it predicts.
        InUse: when another process is at work in its folder.

    Example:
        >>> import kfkd
        >>> from kfkd.label_offsets import fit_label_offsets
        >>> run = fit_label_offsets("runs/mine", "kaggle-fkd")  # doctest: +SKIP
    """
    run = finished_run(run)
    faces = as_faces(data, quiet=quiet, frame=run.frame)
    check_keypoints(run, faces)
    fitted = {s: run.label_offset(s) + _lacking(run, s, faces) for s in run.subsets}
    with locked(run.folder):
        record = read_json(run.folder / RECORD)
        for subset, offset in fitted.items():
            record["subsets"][subset]["label_offset"] = np.round(offset, 4).tolist()
        save_record(run.folder, record)
    return finished_run(run.folder)


def _lacking(run: Run, subset: str, faces: FaceSet) -> np.ndarray:
    """What is to be added to each point of a subset's model, float64 (p, 2) in pixels."""
    found = np.zeros((len(run.points(subset)), 2))
    if not run.by_source(subset):
        found[:, 0] = _mean_off(run, subset, faces)
        return found
    all_points = len(run.skeleton)
    for source, points in (("full", slice(all_points)), ("four_point", slice(all_points, None))):
        rows = np.flatnonzero(np.asarray(faces.source) == source)
        found[points, 0] = _mean_off(run, subset, faces[rows])
    return found


def _mean_off(run: Run, subset: str, faces: FaceSet) -> float:
    """How far labels lie to the right of the answers, in pixels; 0 where there are none."""
    if not len(faces):
        return 0.0
    points = list(run.skeleton.subset(subset))
    answered = run.predict(faces.images, subset=subset, source=faces.source)
    off = (faces.keypoints - answered)[:, points, 0]
    return float(np.nanmean(off)) if np.isfinite(off).any() else 0.0
