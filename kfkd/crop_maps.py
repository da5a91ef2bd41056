"""Affine maps between a photo and the crop of a face in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kfkd.crops import CropRule, Face

# Eyes and mouth corners; the nose moves most when a head turns.
_STEADY = (0, 1, 3, 4)


def crop_matrix(
    face: Face, rule: CropRule, detector: str = "mtcnn", roll: float | None = None
) -> np.ndarray:
    """The map from a photo's pixels to those of the crop.

    Args:
        face: where the detector saw it.
        rule: how the model's data set shows faces.
        detector: who found the face.
        roll: how far the face is turned, in degrees, clockwise; None = as its landmarks say where
            the rule aligns, else not at all.

    Returns:
        float64 (2, 3): crop = matrix @ (x, y, 1), pixel centres in both.

    Example:
        >>> from kfkd.crops import CropRule, Face
        >>> rule = CropRule("doc", (96, 96), True, {"mtcnn": (0, 0, 2)})
        >>> matrix = crop_matrix(Face((100, 100, 48, 48)), rule)
        >>> place(matrix, np.array([[124.0, 124.0]])).tolist()
        [[47.5, 47.5]]
    """
    turn = None if roll is None and rule.align else np.radians(roll or 0.0)
    template = rule.template(detector)
    if face.landmarks is not None and template is not None:
        found, wanted = face.landmarks[list(_STEADY)], template[list(_STEADY)]
        # Landmarks in one spot, as on something that is no face, fix no size.
        if _spread(found) > 0.05 * np.sqrt(face.box[2] * face.box[3]):
            return _by_landmarks(found, wanted, turn)
    return _by_box(face, rule, detector, np.radians(face.roll) if turn is None else turn)


def _by_landmarks(found: np.ndarray, wanted: np.ndarray, turn: float | None) -> np.ndarray:
    """Least squares over shift, size and, where `turn` is None, the turn."""
    a, b = found - found.mean(0), wanted - wanted.mean(0)
    if turn is None:
        across = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        turn = -float(np.arctan2(across.sum(), (a * b).sum()))
    linear = _turned_back(turn)
    linear = linear * (_spread(wanted) / _spread(found))
    return np.column_stack([linear, wanted.mean(0) - linear @ found.mean(0)])


def _by_box(face: Face, rule: CropRule, detector: str, turn: float) -> np.ndarray:
    dx, dy, side = rule.frame(detector)
    x, y, w, h = face.box
    height, width = rule.size
    back = _turned_back(turn)
    centre = np.array([x + w / 2, y + h / 2]) + back.T @ (dx * w, dy * h)
    linear = back * np.sqrt(width * height) / (side * np.sqrt(w * h))
    return np.column_stack([linear, np.array([width - 1, height - 1]) / 2 - linear @ centre])


def _spread(points: np.ndarray) -> float:
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))


def _turned_back(turn: float) -> np.ndarray:
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[cos, sin], [-sin, cos]])


def roll_of(matrix: np.ndarray) -> float:
    """How far the crop stands turned in the photo, in degrees, clockwise.

    Args:
        matrix: (2, 3), from photo to crop.
    """
    return float(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))


def place(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points under an affine map.

    Args:
        matrix: (2, 3).
        points: (…, 2), (x, y); NaN stays NaN.

    Returns:
        float64 (…, 2).
    """
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The affine map back, (2, 3): from crop to photo where `matrix` goes from photo to crop."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def scaled_points(points: np.ndarray, factor: float) -> np.ndarray:
    """Points in an image `factor` times as large; (0, 0) is the centre of a pixel in both.

    Args:
        points: (…, 2) in pixels.
        factor: pixels of the other image per pixel of this one.
    """
    return (points + 0.5) * factor - 0.5
