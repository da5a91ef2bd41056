"""Scores of predictions in pixels, the mean faces beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from kfkd.errors import DataError
from kfkd.faces import FaceSet
from kfkd.landmarks.scores import LandmarkScores, score_landmarks
from kfkd.metrics import image_errors, kaggle_rmse, mean_face, predicted_points, rmse
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
        learned: how many of the images the run is known to have learned from; None = not asked.
    """

    model: Mapping[str, float | None]
    mean_face: Mapping[str, float | None]
    mean_per_source: Mapping[str, float | None]
    keypoints: Mapping[str, tuple[float | None, float | None]]
    images: int
    values: int
    worst: tuple[tuple[int, float, float], ...]
    landmarks: LandmarkScores | None = None
    learned: int | None = None

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
                *([f"the run learned from {self.learned} of them"] if self.learned else []),
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
