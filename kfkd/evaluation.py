"""Evaluating: honest scores, with the mean face beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.errors import DataError
from kfkd.faces import FaceSet
from kfkd.learning.parts import recorded_parts
from kfkd.pipelines.batches import rows_for
from kfkd.pipelines.source_text import photo_source
from kfkd.pipelines.splits import held_out_rows
from kfkd.rereading import reread
from kfkd.runs import Run, finished_run
from kfkd.scoring import Scores, score_faces
from kfkd.storage.safe_reading import is_device


def evaluate(
    run: Run | str | Path,
    data: Any = None,
    *,
    part: str = "validation",
    thorough: bool = False,
    decoder: str | None = None,
    second_look: bool | None = None,
    quiet: bool = False,
) -> Scores:
    """Scores a run on its own validation images, or on other labelled faces.

    Args:
        run: a run or its folder.
        data: labelled faces, see `kfkd.load_faces`; None = the data it was trained on.
        part: "validation" = the images that the run's split holds out; "all" = every row of
            `data`, which are also training rows if it is the run's own data.
        thorough: look in more ways, as submissions do, see `Run.predict`.
        decoder: of its heatmaps, in the place of the run's own.
        second_look: whether it looks again at faces out of their place; None = as the run does.
        quiet: no progress.

    Returns:
        Scores in pixels; print them, or take `.as_dict()`.

    Raises:
        DataError: when the data carries no labels, or is not the run's where its split is asked.
        RunError: when the run is unfinished or broken.
        UnknownName: when there is no such decoder.
        KfkdError: when a decoder is asked of nets that give no heatmaps.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> scores = kfkd.evaluate(run)
        >>> scores.model["kaggle_rmse"] > 0
        True
    """
    run = reread(finished_run(run), decoder=decoder, second_look=second_look)
    faces = faces_for(run, data, quiet)
    if part == "validation":
        faces = validation_faces(run, faces)
    elif part != "all":
        raise DataError(f'part wants "validation" or "all". Received: {part!r}')
    predicted = run.predict(faces.images, source=faces.source, thorough=thorough)
    scores = score_faces(faces, predicted, run.record["mean_face"])
    return replace(scores, learned=len(learned_rows(run, faces)) if part == "all" else 0)


def faces_for(run: Run, data: Any, quiet: bool = False) -> FaceSet:
    """Labelled faces that a run is measured on.

    Args:
        run: the run.
        data: see `kfkd.load_faces`; None = the data it was trained on.
        quiet: no progress.

    Returns:
        The faces; errors on points of which the data names no two to normalise by are shares of
        the same distance as in the run's training.

    Raises:
        DataError: when they cannot be read, or have other keypoints than the run predicts.
    """
    faces = as_faces(own_data(run) if data is None else data, quiet=quiet, frame=run.frame)
    check_keypoints(run, faces)
    unnamed = faces.skeleton.normaliser is None
    return replace(faces, skeleton=run.skeleton) if unnamed else faces


def check_keypoints(run: Run, faces: FaceSet) -> None:
    """Refuses faces with other keypoints than a run predicts.

    Raises:
        DataError: saying which.
    """
    if faces.skeleton.points != run.skeleton.points:
        raise DataError(
            f"{run.folder} predicts the {len(run.skeleton)} keypoints of {run.skeleton.name}, the "
            f"data has {len(faces.skeleton)} of {faces.skeleton.name}, or others, or in another "
            f"order: {', '.join(faces.skeleton.points[:5])}, …"
        )


def own_data(run: Run) -> str | None:
    """What to hand to `as_faces` for the data that a run was trained on.

    Raises:
        DataError: when it was trained on faces in memory.
    """
    data = run.record["data"]
    if not data["path"] and data["origin"] != "synthetic":
        raise DataError(
            f"{run.folder} does not say where its data ({data['origin']}) lie, as runs of faces in "
            "memory and packed ones do not: name them, --data on the command line"
        )
    named = photo_source(data["path"])
    place = Path(named[1] if named else data["path"])
    if is_device(place.expanduser()):
        raise DataError(f"{run.folder} was trained on {place}, which is no file or folder here")
    return "synthetic" if data["origin"] == "synthetic" and not data["path"] else data["path"]


def validation_faces(run: Run, faces: FaceSet) -> FaceSet:
    """The rows of a run's data that its split holds out.

    Raises:
        DataError: when the faces are not those the run was trained on.
    """
    return faces[validation_rows(run, faces)]


def check_own(run: Run, faces: FaceSet, advice: str = "") -> None:
    """Refuses other faces than those that a run was trained on.

    Args:
        run: any.
        faces: all rows of a set.
        advice: what an error ends with.

    Raises:
        DataError: saying so.
    """
    known = run.record["data"]["fingerprint"]
    if faces.fingerprint != known:
        told = f"fingerprint {known}, received {faces.fingerprint}"
        raise DataError(f"{run.folder} was trained on other data ({told}){advice}")


def learned_rows(run: Run, faces: FaceSet) -> np.ndarray:
    """Rows that a run learned from, ascending indices; none of other data than its own."""
    if faces.fingerprint != run.record["data"]["fingerprint"]:
        return np.array([], int)
    train, settings = recorded_parts(faces, run.record).train, run.record["settings"]
    used = [rows_for(faces[train], s, settings["drop_incomplete"]) for s in settings["subsets"]]
    return train[np.unique(np.concatenate(used))]


def validation_rows(run: Run, faces: FaceSet) -> np.ndarray:
    """Ascending indices of the rows of a run's data that its split holds out.

    Raises:
        DataError: when the faces are not those the run was trained on.
    """
    check_own(run, faces, '; for other faces ask part="all" (kfkd evaluate --all)')
    split = run.record["split"]
    if not split["share"]:
        raise DataError(f'{run.folder} holds out no images; ask part="all" (kfkd evaluate --all)')
    return held_out_rows(faces, split)
