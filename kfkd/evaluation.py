"""Evaluating: honest scores, with the mean face beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kfkd.data import as_faces
from kfkd.errors import DataError
from kfkd.faces import FaceSet
from kfkd.landmarks.scores import LandmarkScores, score_landmarks
from kfkd.metrics import image_errors, kaggle_rmse, mean_face, predicted_points, rmse
from kfkd.pipelines.source_text import photo_source
from kfkd.pipelines.splits import held_out_rows
from kfkd.rereading import reread
from kfkd.runs import Run, finished_run
from kfkd.storage.safe_reading import is_device
from kfkd.text import table


@dataclass(frozen=True)
class Scores:
    """Errors in pixels of a predictor and of the two mean faces on the same labels.

    Args:
        model: score by name: "kaggle_rmse", "all", each subset and source, and the median.
        mean_face: the same for the mean of the training labels.
        mean_per_source: the same for the mean of each source's training labels.
        keypoints: RMSE by keypoint that was predicted: (model, mean face).
        images: how many images were measured.
        values: how many labelled values.
        worst: (id, RMSE in pixels, share of the whole squared error) of the worst images.
        landmarks: the 68-point field's scores and the course's; None for Kaggle's points.
    """

    model: Mapping[str, float | None]
    mean_face: Mapping[str, float | None]
    mean_per_source: Mapping[str, float | None]
    keypoints: Mapping[str, tuple[float | None, float | None]]
    images: int
    values: int
    worst: tuple[tuple[int, float, float], ...]
    landmarks: LandmarkScores | None = None

    def as_dict(self) -> dict[str, Any]:
        """The scores as plain data."""
        return asdict(self)

    def table(self) -> str:
        """The scores as text."""
        columns = (self.model, self.mean_face, self.mean_per_source)
        rows = [(name, *(_shown(column[name]) for column in columns)) for name in self._told()]
        crops = self.landmarks is not None and self.landmarks.pixels == "photos"
        unit = "RMSE in px of the crops" if crops else "RMSE in px"
        header = (unit, "model", "mean face", "mean face per source")
        points = [(k, _shown(a), _shown(b)) for k, (a, b) in self.keypoints.items()]
        worst = [(i, f"{error:.2f}", f"{share:.1%}") for i, error, share in self.worst]
        return "\n\n".join(
            [
                f"{self.images} images, {self.values} labelled values",
                *([] if self.landmarks is None else [self.landmarks.table()]),
                table(header, rows),
                table(("keypoint", "model", "mean face"), points),
                table(("worst images, id", "px", "of the squared error"), worst),
            ]
        )

    __str__ = table

    def _told(self) -> list[str]:
        """The scores that the text gives: Kaggle's own for Kaggle's points only."""
        return [n for n in self.model if self.landmarks is None or n != "kaggle_rmse"]


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
        UnknownName: when there is no such decoder, or the run's nets have none.

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
    return score_faces(faces, predicted, run.record["mean_face"])


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


def validation_rows(run: Run, faces: FaceSet) -> np.ndarray:
    """Ascending indices of the rows of a run's data that its split holds out.

    Raises:
        DataError: when the faces are not those the run was trained on.
    """
    known = run.record["data"]["fingerprint"]
    if faces.fingerprint != known:
        raise DataError(
            f"{run.folder} was trained on other data (fingerprint {known}, received "
            f'{faces.fingerprint}); for other faces ask part="all"'
        )
    split = run.record["split"]
    if not split["share"]:
        raise DataError(f'{run.folder} holds out no images; ask part="all" (kfkd evaluate --all)')
    return held_out_rows(faces, split)


class MeanFaces(NamedTuple):
    """Of each of n faces the mean faces that it is measured beside, in pixels.

    Args:
        one: (n, k, 2), of all training labels.
        per_source: (n, k, 2), of those of the face's source.
    """

    one: np.ndarray
    per_source: np.ndarray


def means_beside(faces: FaceSet, means: Mapping[str, Any]) -> MeanFaces:
    """The mean faces of one training beside each face.

    Args:
        faces: n of them.
        means: mean face by source, and "all", each (k, 2) in pixels, as run.json has them.
    """
    one = np.broadcast_to(np.array(means["all"], np.float32), faces.keypoints.shape)
    own = [np.array(means.get(s, means["all"]), np.float32) for s in faces.source]
    return MeanFaces(one, np.stack(own) if own else one)


def score_faces(
    faces: FaceSet, predicted: np.ndarray, means: Mapping[str, Any] | MeanFaces, worst: int = 10
) -> Scores:
    """Scores of predictions beside those of the mean faces.

    Args:
        faces: with labels.
        predicted: (n, k, 2) in pixels, NaN = not predicted.
        means: mean face by source, and "all", each (k, 2) in pixels; or of each face.
        worst: how many of the worst images to name.

    Raises:
        DataError: when nothing can be compared.
    """
    compared = faces.labelled & ~np.isnan(predicted)
    if not compared.any():
        raise DataError(f"nothing to score: {len(faces)} images without labels for the predictions")
    truth = np.where(compared, faces.keypoints, np.nan)
    beside = means if isinstance(means, MeanFaces) else means_beside(faces, means)
    one, per_source = beside
    points = faces.skeleton.points
    return Scores(
        model=summary(truth, predicted, faces),
        mean_face=summary(truth, one, faces),
        mean_per_source=summary(truth, per_source, faces),
        keypoints={
            points[i]: (
                _number(rmse(truth[:, i], predicted[:, i])),
                _number(rmse(truth[:, i], one[:, i])),
            )
            for i in predicted_points(predicted)
        },
        images=len(faces),
        values=int(compared.sum()),
        worst=_worst(faces, truth, predicted, worst),
        landmarks=score_landmarks(faces, predicted, one),
    )


def summary(truth: np.ndarray, predicted: np.ndarray, faces: FaceSet) -> dict[str, float | None]:
    """RMSEs in pixels by name; None where nothing is labelled, or predicted in full.

    Args:
        truth: (n, k, 2), NaN = leave out.
        predicted: (n, k, 2).
        faces: give skeleton and sources.
    """
    whole = not np.isnan(truth).all(axis=(0, 2)).any()
    scores = {"kaggle_rmse": kaggle_rmse(truth, predicted, faces.source) if whole else np.nan}
    scores["all"] = rmse(truth, predicted)
    for subset in faces.skeleton.subsets:
        chosen = list(faces.skeleton.subset(subset))
        scores[subset] = rmse(truth[:, chosen], predicted[:, chosen])
    for source in np.unique(faces.source):
        rows = faces.source == source
        scores[str(source)] = rmse(truth[rows], predicted[rows])
    scores["median error"] = float(np.nanmedian(np.abs(truth - predicted)))
    return {name: _number(score) for name, score in scores.items()}


def mean_faces(faces: FaceSet) -> dict[str, list[list[float | None]]]:
    """Mean of the labels over all rows ("all") and over each source's; None = never labelled.

    A source that never labels a keypoint takes it from all rows.
    """
    over_all = mean_face(faces.keypoints)
    means = {"all": over_all}
    for source in np.unique(faces.source):
        own = mean_face(faces.keypoints[faces.source == source])
        means[str(source)] = np.where(np.isnan(own), over_all, own)
    return {name: [[_number(v) for v in p] for p in mean.tolist()] for name, mean in means.items()}


def _worst(
    faces: FaceSet, truth: np.ndarray, predicted: np.ndarray, count: int
) -> tuple[tuple[int, float, float], ...]:
    errors = image_errors(truth, predicted)
    squares = np.nansum(np.square(truth - predicted), axis=(1, 2))
    order = [i for i in np.argsort(-squares, kind="stable") if not np.isnan(errors[i])][:count]
    whole = squares.sum() or 1.0
    return tuple((int(faces.ids[i]), float(errors[i]), float(squares[i] / whole)) for i in order)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


def _shown(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
