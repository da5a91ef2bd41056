"""From runs to a submission that Kaggle accepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.data import as_faces
from kfkd.errors import DataError, KfkdError
from kfkd.faces import FaceSet
from kfkd.machine import versions
from kfkd.progress import say
from kfkd.runs import Run, finished_run
from kfkd.submissions.ensembles import combine
from kfkd.submissions.writer import submission_path, submission_values, write_submission

if TYPE_CHECKING:
    from kfkd.pipelines.kaggle import IdTable


def submit(
    runs: Run | str | Path | Sequence[Run | str | Path],
    data: str | Path | None = None,
    *,
    ensemble: str = "mean",
    weights: Sequence[float] | None = None,
    out: str | Path | None = None,
    clip: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Predicts Kaggle's test images and writes what its id table asks for.

    A run's subsets are put together; several runs are combined keypoint by keypoint, so a run of
    the dense subset and one of the sparse subset make a whole.

    Args:
        runs: a run or several, or their folders.
        data: folder or zip with Kaggle's files; None = where they usually are, else built-in faces.
        ensemble: how runs are combined: "mean", "median" or "weighted".
        weights: a number a run, for "weighted".
        out: the CSV to write; None = submissions/NAME-YYYYmmdd-HHMMSS.csv.
        clip: move coordinates outside the image to its border.
        force: let a run that was trained on built-in faces answer for real ones, or the reverse.
        quiet: no progress.

    Returns:
        The CSV's path; beside it stands a .json of how it was made.

    Raises:
        KfkdError: when a run is unfinished, one of run and test faces is built-in and the other
            real, or its runs leave a value that is asked for without a prediction.
        DataError: when Kaggle's files cannot be read or do not fit together.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> path = kfkd.submit(run, out="submissions/doc.csv", clip=True, quiet=True)
        >>> path.name
        'doc.csv'
    """
    members = [finished_run(run) for run in _listed(runs)]
    if not members:
        raise KfkdError("a submission wants at least one run. Received: none")
    faces = as_faces(data, "test", quiet)
    table = _id_table(faces)
    table.check_images(faces.ids)
    for run in members:
        _refuse_unfit(run, faces, force)
    predicted = combine([run.predict(faces.images) for run in members], ensemble, weights)
    values = submission_values(predicted, faces.ids, table, clip, faces.images.shape[2])
    name = "+".join(dict.fromkeys(run.name for run in members))
    made = _made(members, faces, {"ensemble": ensemble, "weights": _plain(weights), "clip": clip})
    path = write_submission(_target(out, name), table, values, made)
    say(f"{len(values)} values for {len(np.unique(table.image_id))} images → {path}", quiet)
    return path


def _listed(runs: Any) -> list[Any]:
    return [runs] if isinstance(runs, Run | str | Path) else list(runs)


def _id_table(faces: FaceSet) -> IdTable:
    if not faces.path and faces.origin != "synthetic":
        raise DataError("a submission wants Kaggle's files: give their folder or zip as data")
    if not faces.path:
        from kfkd.pipelines.synthetic import synthetic_id_table

        return synthetic_id_table(len(faces))
    from kfkd.pipelines.kaggle import read_id_table

    found = Path(faces.path)
    try:
        return read_id_table(found)
    except DataError:
        # A test.csv or test.zip was named: its id table lies beside it.
        if found.is_dir():
            raise
        return read_id_table(found.parent)


def _refuse_unfit(run: Run, faces: FaceSet, force: bool) -> None:
    origin = run.record["data"]["origin"]
    if origin != "synthetic" and faces.origin == "synthetic" and not force:
        raise KfkdError(
            f"{run.folder} was trained on real faces, and only built-in ones are there to answer "
            "for; give the folder or zip of Kaggle's files as data"
        )
    if origin == "synthetic" and faces.origin != "synthetic" and not force:
        raise KfkdError(
            f"{run.folder} was trained on built-in faces and knows nothing of real ones; train on "
            "Kaggle's training.csv, or ask for it with force"
        )


def _target(out: str | Path | None, name: str) -> Path:
    return submission_path(name) if out is None else Path(out).expanduser()


def _plain(weights: Sequence[float] | None) -> list[float] | None:
    return None if weights is None else [float(weight) for weight in weights]


def _made(members: Sequence[Run], faces: FaceSet, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "runs": [
            {
                "folder": str(run.folder),
                "model": run.name,
                "settings": run.record["settings"],
                "trained on": run.record["data"],
                "validation": run.metrics.get("model"),
                "mean face": run.metrics.get("mean_face"),
            }
            for run in members
        ],
        **settings,
        "test": {"path": faces.path, "origin": faces.origin, "images": len(faces)},
        "versions": versions(),
    }
