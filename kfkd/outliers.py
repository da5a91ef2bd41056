"""Rows whose labels are far from where a face usually has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kfkd.faces import FaceSet
from kfkd.statistics import sources_of

_NORMAL = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""


def robust_deviations(faces: FaceSet, values: np.ndarray) -> np.ndarray:
    """Distance of values from their source's median, in robust standard deviations.

    Args:
        faces: the set, whose sources label by different conventions.
        values: (n, m) in pixels, a row for each face; NaN = unknown.

    Returns:
        (n, m), signed; 0 where unknown. A deviation is 1.4826 median absolute deviations, and at
        least 1 % of the image's width: what labellers differ by says nothing of a face.
    """
    floor, result = faces.images.shape[2] / 100, np.zeros(values.shape)
    for name in sources_of(faces):
        rows = faces.source == name
        for column in range(values.shape[1]):
            own = values[rows, column]
            known = own[~np.isnan(own)]
            if len(known):
                middle = np.median(known)
                unit = max(_NORMAL * np.median(np.abs(known - middle)), floor)
                result[rows, column] = np.nan_to_num((own - middle) / unit)
    return result


def outliers(faces: FaceSet, threshold: float = 8.0) -> list[dict[str, Any]]:
    """Rows whose keypoints are not where a face has them, the strangest first.

    Args:
        faces: any set.
        threshold: robust deviations from the source's median from which a value is reported.

    Returns:
        A finding for each row and reason: position and row (id), source, reason (a sentence), value
        (pixels), deviations (robust, by which they are ranked) and rank (of the row, from 1).
    """
    found = [*_positions(faces, threshold), *_geometry(faces, threshold)]
    score: dict[int, float] = {}
    for finding in found:
        position = finding["position"]
        score[position] = max(score.get(position, 0.0), finding["deviations"])
    order = sorted(score, key=lambda position: (-score[position], position))
    rank = {position: i + 1 for i, position in enumerate(order)}
    ranked = sorted(found, key=lambda f: (rank[f["position"]], -f["deviations"]))
    return [{"rank": rank[f["position"]], **f} for f in ranked]


def _finding(
    faces: FaceSet, position: int, reason: str, value: float, away: float
) -> dict[str, Any]:
    return {
        "row": int(faces.ids[position]),
        "source": str(faces.source[position]),
        "reason": reason,
        "value": float(value),
        "deviations": abs(float(away)),
        "position": int(position),
    }


def _positions(faces: FaceSet, threshold: float) -> list[dict[str, Any]]:
    values = faces.keypoints.reshape(len(faces), -1).astype(np.float64)
    away = robust_deviations(faces, values)
    found = []
    for row in np.flatnonzero(np.abs(away).max(axis=1, initial=0) >= threshold).tolist():
        worst = int(np.abs(away[row]).argmax())
        far = int((np.abs(away[row]) >= threshold).sum())
        side = ("left", "right") if worst % 2 == 0 else ("up", "down")
        reason = f"{faces.skeleton.columns[worst]} too far {side[int(away[row, worst] > 0)]}"
        reason += f", with {far - 1} more" if far > 1 else ""
        found.append(_finding(faces, row, reason, values[row, worst], away[row, worst]))
    return found


def _geometry(faces: FaceSet, threshold: float) -> list[dict[str, Any]]:
    if faces.skeleton.eyes is None or not len(faces):
        return []
    points = faces.keypoints.astype(np.float64)
    left, right = (points[:, i] for i in faces.skeleton.eyes)
    eyes = left[:, 0] - right[:, 0]
    # Which of the two is on the picture's right is the skeleton's affair; the median face tells.
    eyes = eyes * (-1 if np.nanmedian(np.append(eyes, 0)) < 0 else 1)
    mouth = [points[:, i, 1] for i in faces.skeleton.groups.get("mouth", ())]
    lowest = np.fmax.reduce(mouth) if mouth else np.full(len(faces), np.nan)
    drop = lowest - (left[:, 1] + right[:, 1]) / 2
    away = robust_deviations(faces, np.stack([eyes, drop], axis=1))
    found = []
    for column, (values, impossible, name) in enumerate(
        ((eyes, "eyes swapped", "eye distance"), (drop, "mouth above the eyes", "eyes to mouth"))
    ):
        odd = (values <= 0) | (np.abs(away[:, column]) >= threshold)
        for row in np.flatnonzero(odd).tolist():
            size = "too small" if away[row, column] < 0 else "too large"
            reason = impossible if values[row] <= 0 else f"{name} {size}"
            found.append(_finding(faces, row, reason, values[row], away[row, column]))
    return found
