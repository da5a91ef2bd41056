"""Properties of faces, and the error of the faces in each quarter of a property."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from kfkd.faces import FaceSet
from kfkd.lazy import cv2
from kfkd.nme import box_sizes, eye_distances
from kfkd.statistics import brightness_contrast

PROPERTIES: Mapping[str, str] = {
    "size": "distance of the eyes in px (without eyes: √(w · h) of the points' box)",
    "roll": "line through the eyes against the horizontal in degrees, either way",
    "yaw": "nose tip beside the middle of the eyes, share of their distance, either way",
    "sharpness": "variance of the image's Laplacian: low = blurred",
    "brightness": "mean grey level",
    "contrast": "standard deviation of the grey levels",
    "off_centre": "middle of the points' box from the image's middle in px",
}
"""What is measured of each face, and how."""

_QUARTERS = (0, 0.25, 0.5, 0.75, 1)
_CHUNK = 512


def face_properties(faces: FaceSet) -> dict[str, np.ndarray]:
    """`PROPERTIES` of each face.

    Args:
        faces: with labels.

    Returns:
        float64 (n,) each, NaN where labels are missing; those that no face has are left out.
    """
    truth = np.asarray(faces.keypoints, np.float64)
    eyes = faces.skeleton.eyes
    bright, contrast = brightness_contrast(faces.images)
    found = {
        "size": box_sizes(truth) if eyes is None else eye_distances(truth, faces.skeleton),
        **({} if eyes is None else _pose(truth, eyes, faces.skeleton.points)),
        "sharpness": sharpness(faces.images),
        "brightness": bright,
        "contrast": contrast,
        "off_centre": _off_centre(truth, faces.images.shape[1:3]),
    }
    return {name: found[name] for name in PROPERTIES if not np.isnan(found.get(name, np.nan)).all()}


def sharpness(images: np.ndarray) -> np.ndarray:
    """Variance of each image's Laplacian, the usual measure of blur.

    Args:
        images: uint8 (n, h, w, c); of colours the mean counts.

    Returns:
        float64 (n,), small for blurred images.
    """
    found = np.zeros(len(images))
    for start in range(0, len(images), _CHUNK):
        grey = np.asarray(images[start : start + _CHUNK]).mean(axis=3)
        found[start : start + len(grey)] = [cv2.Laplacian(g, cv2.CV_64F).var() for g in grey]
    return found


def quarters(
    values: np.ndarray, squares: np.ndarray, mean_face: np.ndarray, nme: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """The error in each quarter of the faces by a property.

    Args:
        values: (n,), the property; faces where it is NaN are left out.
        squares: (n, k, 2), squared errors in px², NaN = not measured.
        mean_face: the same of the mean face.
        nme: (n,), errors as shares of the face.

    Returns:
        For each quarter, lowest values first, its bounds "low" and "high", "images", "rmse" and
        "mean_face" in pixels, the "median" absolute error, which a few faces cannot rule, "share"
        of the squared error of all n faces, and "nme" where it is given. Quarters with the same
        bound are one.
    """
    known = ~np.isnan(values) & ~np.isnan(squares).all(axis=(1, 2))
    if not known.any():
        return []
    edges = np.unique(np.quantile(values[known], _QUARTERS))
    # A face on an inner bound belongs to the quarter above it, the last bound to the last quarter.
    place = np.searchsorted(edges[1:-1], values, side="right")
    bounds = list(pairwise(edges)) or [(edges[0], edges[0])]
    whole = np.nansum(squares)
    found = []
    for number, (low, high) in enumerate(bounds):
        rows = known & (place == number)
        row = {
            "low": float(low),
            "high": float(high),
            "images": int(rows.sum()),
            "rmse": root_mean(squares[rows]),
            "mean_face": root_mean(mean_face[rows]),
            "median": round(float(np.sqrt(np.nanmedian(squares[rows]))), 5),
            "share": round(float(np.nansum(squares[rows]) / whole), 5) if whole else None,
        }
        found.append(row if nme is None else {**row, "nme": mean_of(nme[rows])})
    return found


def root_mean(squares: np.ndarray) -> float | None:
    """Root of the mean of all known squares; None where there is none."""
    known = squares[~np.isnan(squares)]
    return round(float(np.sqrt(known.mean())), 5) if len(known) else None


def mean_of(values: np.ndarray) -> float | None:
    """Mean of all known values; None where there is none."""
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 5) if len(known) else None


def _pose(
    truth: np.ndarray, eyes: tuple[int, int], points: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """How far each head is turned: in the image, and where there is a nose tip aside."""
    one, other = truth[:, eyes[0]], truth[:, eyes[1]]
    along = other - one
    apart = np.linalg.norm(along, axis=1)
    apart = np.where(apart > 0, apart, np.nan)
    found = {"roll": np.degrees(np.arctan2(np.abs(along[:, 1]), np.abs(along[:, 0])))}
    if "nose_tip" in points:
        nose = truth[:, points.index("nose_tip")] - (one + other) / 2
        found["yaw"] = np.abs((nose * along).sum(axis=1)) / apart**2
    return found


def _off_centre(truth: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    known = ~np.isnan(truth)
    lowest = np.where(known, truth, np.inf).min(axis=1)
    highest = np.where(known, truth, -np.inf).max(axis=1)
    with np.errstate(invalid="ignore"):
        middle = (lowest + highest) / 2  # infinite - infinite = NaN, where nothing is labelled
    return np.linalg.norm(middle - (np.array(size[::-1]) - 1) / 2, axis=1)
