"""Suspects by out-of-fold predictions: what models that never saw a row see elsewhere."""

from __future__ import annotations

import numpy as np

from kfkd.audits.findings import Finding
from kfkd.faces import FaceSet
from kfkd.outliers import robust_deviations

POINT = 8.0
"""Robust deviations of a keypoint's residual from which it is suspect."""

WHOLE = 6.0
"""The same for a shift or a size of the whole face."""

SHARE = 0.06
"""Share of the image's width that a suspect label is off at the least."""

_EXPLAINED = 0.75
"""Share of the squared residual that one movement of all keypoints must explain."""


def residual_findings(faces: FaceSet, predicted: np.ndarray, spread: np.ndarray) -> list[Finding]:
    """Keypoints far from their prediction.

    Args:
        faces: the set.
        predicted: float (n, k, 2) in pixels, out-of-fold, NaN = not predicted.
        spread: float (n, k), by how much predictions of different models differ, in pixels: where
            models do not agree, a label far from them says less.
    """
    residual = faces.keypoints.astype(np.float64) - predicted
    n, k, _ = residual.shape
    away = robust_deviations(faces, residual.reshape(n, -1)).reshape(n, k, 2)
    distance = np.nan_to_num(np.linalg.norm(residual, axis=2))
    usual = np.nanmedian(np.where(distance > 0, distance, np.nan)) if distance.any() else 1.0
    strength = np.abs(away).max(axis=2) / np.sqrt(1 + (spread / max(usual, 0.5)) ** 2)
    strength = np.minimum(strength / POINT, distance / (SHARE * faces.images.shape[2]))
    found = []
    for row in np.flatnonzero((strength >= 1).any(axis=1)).tolist():
        points = np.flatnonzero(strength[row] >= 1)
        worst = int(strength[row].argmax())
        reason = f"{faces.skeleton.points[worst]} {distance[row, worst]:.1f} px from where models "
        reason += "see it" + (f", with {len(points) - 1} more" if len(points) > 1 else "")
        value = float(strength[row, worst])
        found.append(Finding(row, "residual", value, reason, tuple(points.tolist())))
    return found


def moved_findings(faces: FaceSet, predicted: np.ndarray) -> list[Finding]:
    """Faces whose labels are all shifted, or all wider or narrower, than predicted.

    Args:
        faces: the set.
        predicted: float (n, k, 2) in pixels, out-of-fold, NaN = not predicted.
    """
    residual = faces.keypoints.astype(np.float64) - predicted
    known = ~np.isnan(residual).any(axis=2)
    enough = known.sum(axis=1) >= 3
    shift, size, explained = _movement(faces.keypoints.astype(np.float64), predicted, known)
    measures = np.column_stack([shift, np.log(size)])
    measures[~enough] = np.nan
    away = np.abs(robust_deviations(faces, _in_pixels(measures, faces)))
    far = np.hypot(shift[:, 0], shift[:, 1]), np.abs(size - 1) * _radius(predicted, known)
    found = []
    for row in np.flatnonzero(enough & (explained >= _EXPLAINED)).tolist():
        by = int(away[row].argmax() == 2)
        strength = min(
            away[row].max() / WHOLE, float(far[by][row]) / (SHARE * faces.images.shape[2])
        )
        if strength >= 1:
            found.append(Finding(row, "moved", float(strength), _told(by, shift[row], size[row])))
    return found


def swapped_findings(faces: FaceSet, predicted: np.ndarray) -> list[Finding]:
    """Pairs whose labels fit the predictions once left and right are exchanged.

    Args:
        faces: the set.
        predicted: float (n, k, 2) in pixels, out-of-fold, NaN = not predicted.
    """
    truth, least = faces.keypoints.astype(np.float64), SHARE * faces.images.shape[2]
    pairs: dict[int, list[tuple[tuple[int, int], float]]] = {}
    for one, other in faces.skeleton.swaps:
        sides = [one, other]
        as_is = np.linalg.norm(truth[:, sides] - predicted[:, sides], axis=2).mean(axis=1)
        swapped = np.linalg.norm(truth[:, sides[::-1]] - predicted[:, sides], axis=2).mean(axis=1)
        for row in np.flatnonzero((as_is > least) & (swapped < as_is / 3)).tolist():
            pairs.setdefault(row, []).append(((one, other), float(as_is[row] / least)))
    found = []
    for row, swaps in pairs.items():
        names = [faces.skeleton.points[one] for (one, _), _ in swaps]
        reason = f"left and right exchanged: {', '.join(names[:3])}"
        reason += f" and {len(names) - 3} more" if len(names) > 3 else ""
        points = tuple(point for pair, _ in swaps for point in pair)
        found.append(Finding(row, "swapped", max(s for _, s in swaps), reason, points))
    return found


def _movement(
    truth: np.ndarray, predicted: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift (n, 2) and size (n,) that take predictions to labels, and the share they explain."""
    count = np.maximum(known.sum(axis=1), 1)[:, None]
    weight = known[..., None]
    label, seen = (np.where(weight, points, 0) for points in (truth, predicted))
    shift = (label - seen).sum(axis=1) / count
    centred = [
        (p - p.sum(axis=1, keepdims=True) / count[..., None]) * weight for p in (label, seen)
    ]
    wide, narrow = (np.square(p).sum(axis=(1, 2)) for p in centred)
    size = np.sqrt(np.maximum(wide, 1e-9) / np.maximum(narrow, 1e-9))
    whole = np.square(label - seen).sum(axis=(1, 2))
    left = np.square(centred[0] - size[:, None, None] * centred[1]).sum(axis=(1, 2))
    return shift, size, 1 - left / np.maximum(whole, 1e-9)


def _radius(predicted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n,) how far keypoints are from their middle, in pixels."""
    points = np.where(known[..., None], predicted, np.nan)
    with np.errstate(invalid="ignore"):
        middle = np.nansum(points, axis=1, keepdims=True) / known.sum(axis=1)[:, None, None]
        return np.sqrt(np.nansum(np.square(points - middle), axis=(1, 2)) / known.sum(axis=1))


def _in_pixels(measures: np.ndarray, faces: FaceSet) -> np.ndarray:
    """Logarithms of sizes as pixels at a quarter of the image's width, beside shifts in pixels."""
    return measures * [1, 1, faces.images.shape[2] / 4]


def _told(by_size: int, shift: np.ndarray, size: float) -> str:
    if by_size:
        return f"all keypoints {size:.2f} times as far apart as models see them"
    return f"all keypoints {shift[0]:+.1f}, {shift[1]:+.1f} px from where models see them"
