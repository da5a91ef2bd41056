"""Error analysis: where a run is wrong, for whom, by how much, and whether it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kfkd.analysis.bins import face_properties, quarters
from kfkd.analysis.measures import Errors, by_keypoint, errors_of, percentiles_of, tail_of
from kfkd.analysis.rows import Predicted, predicted_rows
from kfkd.doubts.calibration import Calibration
from kfkd.doubts.scoring import DoubtScores, fit_to_run, score_doubt
from kfkd.ensembles.members import run_or_folds
from kfkd.errors import KfkdError, RunError
from kfkd.folds.cross_validation import CrossValidation
from kfkd.nme import point_distances
from kfkd.progress import say
from kfkd.runs import Run, finished_run, save_record
from kfkd.scoring import Scores, score_faces
from kfkd.several import several
from kfkd.storage.files import write_json, write_text
from kfkd.text import names_apart

_LONGEST_NAME = 60


@dataclass(frozen=True)
class Analysis:
    """What an error analysis found; all errors in pixels of the images.

    Args:
        runs: the runs' folders, named apart; several answer as one, by their mean.
        told: which faces they are, and who was asked for which.
        scores: as `kfkd.evaluate` gives them, with more of the worst images.
        keypoints: by keypoint and source: "values" measured, "rmse", "mean_face" (of the source's
            training labels), and where faces have a size, "nme"; sources that do not label it are
            left out.
        bins: for each of `kfkd.analysis.bins.PROPERTIES` the quarters of the faces, see there.
        tail: for the worst 1, 5 and 10 % of the images how many "images" they are, their "share"
            of the squared error, and the "rmse_without" them.
        percentiles: of the absolute error of a coordinate: (model, mean face per source).
        doubt: the model's own doubt against its error; None where it has none.
        calibration: what that doubt is worth, fitted on these very faces, as
            `kfkd.doubts.calibration.calibration_from` takes it.
        files: what was written.
    """

    runs: tuple[str, ...]
    told: str
    scores: Scores
    keypoints: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    bins: Mapping[str, Sequence[Mapping[str, Any]]]
    tail: tuple[Mapping[str, float | None], ...]
    percentiles: Mapping[str, tuple[float, float]]
    doubt: DoubtScores | None = None
    calibration: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Who answers: the runs' folders, or of many how many they are."""
        told = ", ".join(self.runs)
        return told if len(told) <= _LONGEST_NAME else f"{len(self.runs)} runs"

    def as_dict(self) -> dict[str, Any]:
        """The analysis as plain data."""
        return asdict(self)

    def table(self) -> str:
        """The analysis as text."""
        from kfkd.analysis.text import as_text

        return as_text(self)

    __str__ = table


def analyse(
    run: Run | CrossValidation | str | Path | Sequence[Run | CrossValidation | str | Path],
    data: Any = None,
    part: str = "validation",
    out: str | Path | None = None,
    worst: int = 40,
    quiet: bool = False,
    calibrate: bool = False,
) -> Analysis:
    """Where a run errs: by keypoint and source, by the faces' properties, and in its tail.

    Args:
        run: a run or its folder, or several, which answer as one by their mean: on the rows that
            all of them hold out, or, of a cross-validation, each row by the run that holds it out,
            of several seeds by the mean of these. A cross-validation or its folder stands for its
            runs, CV/MODEL for those of one of its models.
        data: labelled faces, see `kfkd.load_faces`; None = the run's own data.
        part: "validation" = the images that the run's split holds out; "all" = every row of
            `data`, which are also training rows if it is the run's own data.
        out: a folder for analysis.txt, analysis.json and pictures; None = nothing is written.
        worst: how many of the worst images are named and drawn.
        quiet: no progress.
        calibrate: write what the run's doubt is worth into its run.json, as a training does at its
            end: for runs that were trained before trainings did. One run, held-out images.

    Returns:
        The analysis: print it, or take `.as_dict()`.

    Raises:
        DataError: when the data carries no labels, or is not the run's where its split is asked.
        KfkdError: when an option makes no sense, or a cross-validation is of several models.
        RunError: when a run is unfinished or broken.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> found = kfkd.analyse(run, quiet=True)
        >>> sorted(found.keypoints["nose_tip"])
        ['four_point', 'full']
    """
    if not isinstance(worst, int) or isinstance(worst, bool) or worst < 1:
        raise KfkdError(f"worst wants a whole number from 1. Received: {worst!r}")
    kind = Run | CrossValidation | str | Path
    given = several(run, kind, "runs, cross-validations or their folders")
    runs = [found for one in given for found in _runs_of(one)]
    if not runs:
        raise KfkdError("an analysis wants at least one run. Received: none")
    if calibrate and (len(runs) > 1 or part != "validation"):
        raise KfkdError("calibrate wants one run and the images that it holds out")
    seen = predicted_rows(runs, data, part, quiet)
    errors = errors_of(seen.faces, seen.points, seen.means.per_source)
    fitted, doubt = _doubt(runs, seen)
    found = _analysis(runs, seen, worst, errors, doubt, fitted)
    if calibrate:
        _keep(runs[0], fitted)
    if out is None:
        return found
    say("drawing", quiet)
    return _written(found, seen, errors, fitted, Path(out).expanduser())


def _runs_of(given: Run | CrossValidation | str | Path) -> list[Run]:
    """A run, or those of a model of a cross-validation: of its folder, or its model's in there."""
    found = run_or_folds(given)
    if isinstance(found, Run):
        return [found]
    validation, model = found
    return [finished_run(folder) for folder in validation.run_folders(model)]


def _keep(run: Run, fitted: Calibration | None) -> None:
    """Writes a calibration into a run's run.json."""
    if fitted is None:
        raise RunError(f"{run.folder} has no doubt to calibrate, or too few labels held out")
    run.record["metrics"]["doubt"] = fitted.config()
    save_record(run.folder, run.record)


def _analysis(
    runs: Sequence[Run],
    seen: Predicted,
    worst: int,
    errors: Errors,
    doubt: DoubtScores | None,
    fitted: Calibration | None,
) -> Analysis:
    faces = seen.faces
    return Analysis(
        runs=tuple(names_apart([run.folder for run in runs])),
        told=seen.told,
        scores=score_faces(faces, seen.points, seen.means, worst),
        keypoints=by_keypoint(faces, errors),
        bins={
            name: quarters(values, errors.squares, errors.flat, errors.nme)
            for name, values in face_properties(faces).items()
        },
        tail=tail_of(errors.squares),
        percentiles=percentiles_of(errors),
        doubt=doubt,
        calibration=None if fitted is None else fitted.config(),
    )


def _doubt(runs: Sequence[Run], seen: Predicted) -> tuple[Calibration | None, DoubtScores | None]:
    """What the doubt is worth on these faces, and its scores."""
    faces = seen.faces
    fitted = fit_to_run(runs[0], faces, seen.points, seen.doubt)
    if fitted is None:
        return None, None
    own = runs[0].calibration if len(runs) == 1 else None
    distances = point_distances(faces.keypoints, seen.points)
    return fitted, score_doubt(fitted, distances, seen.doubt, faces.source, own)


def _written(
    found: Analysis, seen: Predicted, errors: Errors, fitted: Calibration | None, out: Path
) -> Analysis:
    from kfkd.analysis.pictures import draw_analysis

    pictures = draw_analysis(found, seen, errors, fitted, out)
    files = [out / "analysis.txt", out / "analysis.json", *pictures]
    found = replace(found, files=tuple(map(str, files)))
    write_text(files[0], found.table() + "\n")
    write_json(files[1], found.as_dict())
    return found
