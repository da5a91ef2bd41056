"""From runs to a submission that Kaggle accepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.data import as_faces
from kfkd.ensembles.averaging import gain
from kfkd.ensembles.blending import Blend, blend
from kfkd.ensembles.members import members_of
from kfkd.errors import DataError, KfkdError
from kfkd.faces import FaceSet
from kfkd.machine import versions
from kfkd.progress import Ticker, say
from kfkd.runs import Run
from kfkd.submissions.fitted_files import save_ensemble
from kfkd.submissions.fitting import HOWS
from kfkd.submissions.writer import submission_path, submission_values, write_submission

if TYPE_CHECKING:
    from kfkd.folds.cross_validation import CrossValidation
    from kfkd.pipelines.kaggle import IdTable


def submit(
    runs: Run | CrossValidation | str | Path | Sequence[Run | CrossValidation | str | Path],
    data: str | Path | None = None,
    *,
    ensemble: str | Path = "mean",
    weights: Sequence[float] | None = None,
    select: bool | None = None,
    strict: bool = False,
    out: str | Path | None = None,
    clip: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Predicts Kaggle's test images and writes what its id table asks for.

    A run's subsets are put together; several runs are combined keypoint by keypoint, so a run of
    the dense subset and one of the sparse subset make a whole. The models of a cross-validation are
    a member each: the mean of its folds and seeds. Images are answered as the label source whose
    keypoints the id table asks for. Members whose predictions are broken are named and left out.

    Args:
        runs: runs, cross-validations of `kfkd.cross_validate`, or their folders, packed ensembles
            (of `kfkd.pack`, or by a name of `kfkd.pretrained_ensembles`), one or several.
        data: folder or zip with Kaggle's files; None = where they usually are, else built-in faces.
        ensemble: how members are combined: "mean", "median", "weighted"; fitted on the out-of-fold
            predictions of cross-validations: "weighted" without weights, "ridge", "elastic_net",
            "boosting", or "stack", the one of these that predicts best by nested cross-validation;
            or the .npz of a fit of `kfkd.ensemble`.
        weights: a number a member, for "weighted".
        select: leave out members that do not lower the out-of-fold error; None = where all members
            are cross-validations and no weights are given; True goes with no weights.
        strict: refuse broken members rather than leave them out.
        out: the CSV to write; None = submissions/NAME-YYYYmmdd-HHMMSS.csv.
        clip: move coordinates outside the image to its border.
        force: let a run that was trained on built-in faces answer for real ones, or the reverse.
        quiet: no progress.

    Returns:
        The CSV's path; beside it stands a .json of how it was made. Of plain means of all members,
        given weights, and the nets of one cross-validation's model it says what averaging wins.

    Raises:
        KfkdError: when a run is unfinished, no member is sound, one of run and test faces is
            built-in and the other real, or a value that is asked for has no prediction.
        DataError: when Kaggle's files cannot be read or do not fit together.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> path = kfkd.submit(run, out="submissions/doc.csv", clip=True, quiet=True)
        >>> path.name
        'doc.csv'
    """
    if not isinstance(ensemble, str | Path):
        ways = f"one of {', '.join(HOWS)}, or the .npz of a fit"
        raise KfkdError(f"ensemble wants {ways}. Received: {ensemble!r:.100}")
    how, members = str(ensemble), members_of(runs)
    if not members:
        raise KfkdError("a submission wants at least one run. Received: none")
    faces = as_faces(data, "test", quiet)
    table = _id_table(faces)
    table.check_images(faces.ids)
    for run in (run for member in members for run in member.runs):
        _refuse_unfit(run, faces, force)
    ticker = Ticker(quiet)
    found = blend(members, faces, how, weights, select, strict, ticker.show)
    ticker.clear()
    for line in found.left_out:
        say(line, quiet)
    values = submission_values(found.predicted, faces.ids, table, clip, faces.images.shape[2])
    won = gain(found.averaged, faces.ids, table)
    name = "+".join(dict.fromkeys(run.name for member in found.members for run in member.runs))
    settings = {"ensemble": how, "weights": _plain(weights), "clip": clip}
    made = _made(found, faces, {**settings, "averaging": won and won.as_dict()})
    path = write_submission(_target(out, name), table, values, made)
    if found.fitted:
        save_ensemble(found.fitted, path.with_suffix(".npz"))
        say(_told(found), quiet)
    if won:
        say(str(won), quiet)
    say(f"{len(values)} values for {len(np.unique(table.image_id))} images → {path}", quiet)
    return path


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


def _told(found: Blend) -> str:
    """A line about a fitted ensemble."""
    assert found.fitted
    taken = {i for cell in found.fitted.cells for i in cell.members}
    line = f"{found.fitted.how} of {', '.join(found.fitted.names[i] for i in sorted(taken))}"
    if found.scores is None:
        return line
    scores = found.scores["all"]["model"]
    score = scores["all"] if scores["kaggle_rmse"] is None else scores["kaggle_rmse"]
    return f"{line}: {score:.3f} px on rows that it was not fitted on"


def _made(found: Blend, faces: FaceSet, settings: dict[str, Any]) -> dict[str, Any]:
    members = [run for member in found.members for run in member.runs]
    learned = {"fitted": found.fitted.as_dict(), "nested": found.scores} if found.fitted else {}
    return {
        "members": {m.name: [str(run.folder) for run in m.runs] for m in found.members},
        "left out": list(found.left_out),
        **learned,
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
        "thorough": True,
        "test": {"path": faces.path, "origin": faces.origin, "images": len(faces)},
        "versions": versions(),
    }
