"""What the 68-point field and the course report of a run, the mean face beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kfkd.ced import LIMIT, landmark_scores
from kfkd.faces import FaceSet
from kfkd.nme import box_sizes, eye_distances, group_nme, image_nme, length_told
from kfkd.skeletons import KAGGLE_15
from kfkd.text import table

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class LandmarkScores:
    """Errors as shares of the face, and the course's error, each as (model, mean face).

    Args:
        pixels: "photos" = measured in the photos' own pixels, "images" = in those of the images
            given, where they are not known as crops of photos.
        scores: "nme" and "failure_rate", "auc" (all by the skeleton's normaliser), "nme_box" (by
            √(w · h) of the points' box), as shares; "pixel_mae" in pixels, "mse_sides" in squares
            of the images' sides, which the course's reports minimised; None = cannot be measured.
        regions: NME by part of the face, by the normaliser, where the skeleton has one, else by
            the box.
        length: what the normaliser is, in words.
    """

    pixels: str
    scores: Mapping[str, Pair]
    regions: Mapping[str, Pair]
    length: str

    def table(self) -> str:
        """The scores as text."""
        rows = [
            (
                _TOLD[name].format(self.length, self.pixels),
                *(_shown(v, *_HOW.get(name, ())) for v in pair),
            )
            for name, pair in self.scores.items()
        ]
        parts = [table((f"measured in pixels of the {self.pixels}", "model", "mean face"), rows)]
        if self.regions:
            header = (f"NME in %, {self._unit}", "model", "mean face")
            regions = [(k, *(_shown(v, 100, 2) for v in pair)) for k, pair in self.regions.items()]
            parts.append(table(header, regions))
        return "\n\n".join(parts)

    @property
    def _unit(self) -> str:
        return f"of {self.length}" if self.scores["nme"][0] is not None else _BOX


_BOX = "of √(w · h) of the points' box"
_UNNAMED = "the distance of two points that nobody named"
# As hundredths of the face, and digits after the point.
_HOW = {"nme": (100, 2), "nme_box": (100, 2), "failure_rate": (100, 2), "mse_sides": (1, 6)}
_TOLD = {
    "nme": "NME in %, of {}",
    "nme_box": f"NME in %, {_BOX}",
    "auc": f"AUC@{LIMIT:g} (1 is perfect)",
    "failure_rate": f"failures@{LIMIT:g}, % of the images",
    "pixel_mae": "mean absolute error, px of the {1} (the course's score)",
    "mse_sides": "mean squared error, of the images' sides (the reports' loss)",
}


def score_landmarks(
    faces: FaceSet, predicted: np.ndarray, mean_face: np.ndarray
) -> LandmarkScores | None:
    """Scores of 68, 58 or a user's own points.

    Crops of photos are measured in the photos' own pixels, as the field and the course do.

    Args:
        faces: with labels.
        predicted: (n, k, 2) in pixels of the images, NaN = not predicted.
        mean_face: (k, 2) in pixels of the images.

    Returns:
        The scores; None for Kaggle's 15 points, which Kaggle's own metric is for.
    """
    if faces.skeleton.points == KAGGLE_15.points:
        return None
    truth, both = _in_photos(faces, predicted, mean_face)
    lengths = _lengths(faces, truth)
    scores = [landmark_scores(truth, points, faces.skeleton) for points in both]
    parts = [group_nme(truth, points, lengths, faces.skeleton) for points in both]
    # A run on the nose alone has nothing to say of the other parts.
    regions = {name: pair for name, pair in _pairs(*parts).items() if pair[0] is not None}
    return LandmarkScores(
        pixels="images" if faces.photos is None else "photos",
        scores={**_pairs(*scores), "mse_sides": _of_sides(faces, predicted, mean_face)},
        regions=regions if faces.skeleton.groups else {},
        length=_UNNAMED if faces.skeleton.normaliser is None else length_told(faces.skeleton),
    )


def _of_sides(faces: FaceSet, predicted: np.ndarray, mean_face: np.ndarray) -> Pair:
    """Mean squared errors of the coordinates as shares of the images' width and height."""
    sides = np.array(faces.images.shape[2:0:-1], float)
    known = np.where(np.isnan(predicted), np.nan, faces.keypoints)
    squares = [((points - known) / sides) ** 2 for points in (predicted, mean_face)]
    found = [float(np.nanmean(s)) if not np.isnan(s).all() else np.nan for s in squares]
    model, constant = (None if np.isnan(mean) else round(mean, 8) for mean in found)
    return model, constant


def eye_errors(
    faces: FaceSet, predicted: np.ndarray, mean_face: np.ndarray
) -> dict[str, np.ndarray]:
    """Each image's inter-ocular error, (n,), of "model" and "mean face", for the CED curve.

    Args:
        faces: with labels, of a skeleton with a normaliser.
        predicted: (n, k, 2) in pixels of the images, NaN = not predicted.
        mean_face: (k, 2) in pixels of the images.
    """
    truth, both = _in_photos(faces, predicted, mean_face)
    lengths = eye_distances(truth, faces.skeleton)
    errors = (image_nme(truth, points, lengths) for points in both)
    return dict(zip(("model", "mean face"), errors, strict=True))


def _in_photos(
    faces: FaceSet, predicted: np.ndarray, mean_face: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Labels, and predictions of the model and of the mean face, of the same points."""
    # Both predictors are measured on the same points.
    constant = np.where(np.isnan(predicted), np.nan, mean_face)
    if faces.photos is None:
        return faces.keypoints, (predicted, constant)
    back = faces.photos.to_photo
    return back(faces.keypoints), (back(predicted), back(constant))


def _lengths(faces: FaceSet, truth: np.ndarray) -> np.ndarray:
    if faces.skeleton.normaliser is None:
        return box_sizes(truth)
    return eye_distances(truth, faces.skeleton)


def _pairs(model: Mapping[str, float], mean_face: Mapping[str, float]) -> dict[str, Pair]:
    return {name: (_number(model[name]), _number(mean_face[name])) for name in model}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


def _shown(value: float | None, times: int = 1, digits: int = 3) -> str:
    return "—" if value is None else f"{times * value:.{digits}f}"
