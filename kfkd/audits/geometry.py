"""Suspects by labels alone: impossible faces, and pictures that are labelled twice, differently."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kfkd.audits.findings import Finding
from kfkd.duplicates import duplicate_groups
from kfkd.faces import FaceSet
from kfkd.outliers import outliers

APART = 0.06
"""Share of the image's width that labels of the same picture may be apart."""

USUAL = 4.0
"""Times the usual difference of such labels that they may be apart."""

OUTSIDE = 0.02
"""Share of the image's width that a label may lie beyond its border."""

ABOVE = 0.02
"""Share of the image's width from which a point of the mouth is above the nose."""

_RARE = 0.01
"""Share of the rows above which labels outside are the way of the data, as in crops of photos."""

_UNUSUAL = 8.0


def geometry_findings(faces: FaceSet) -> list[Finding]:
    """Faces whose points are where no face has them.

    Args:
        faces: the set.
    """
    return [*_outside(faces), *_one_place(faces), *_twice(faces), *_upside_down(faces)]


def unusual_findings(faces: FaceSet) -> list[Finding]:
    """Faces far from the usual one: small, turned away, several in a picture, or mislabelled.

    Args:
        faces: the set.
    """
    found: dict[int, Finding] = {}
    for one in outliers(faces, _UNUSUAL):
        strength = one["deviations"] / _UNUSUAL
        if strength >= 1:
            found.setdefault(
                one["position"], Finding(one["position"], "unusual", strength, one["reason"])
            )
    return list(found.values())


def duplicate_findings(faces: FaceSet, predicted: np.ndarray | None = None) -> list[Finding]:
    """Rows of identical pixels and one source whose labels are far apart.

    The row that is farther from the prediction is the suspect; without one, the row far from the
    others' median; of two rows both.

    Args:
        faces: the set.
        predicted: float (n, k, 2) in pixels, out-of-fold; None = there is none.
    """
    groups = [rows for group in duplicate_groups(faces) for rows in _by_source(faces, group.rows)]
    limit = _limit(faces, groups)
    return [finding for rows in groups for finding in _disagreeing(faces, rows, predicted, limit)]


def _by_source(faces: FaceSet, rows: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Rows of each source, at least two: sources follow conventions of their own."""
    for source in np.unique(faces.source[list(rows)]):
        own = np.array([row for row in rows if faces.source[row] == source])
        if len(own) > 1:
            yield own


def _limit(faces: FaceSet, groups: list[np.ndarray]) -> float:
    """Pixels that labels of one picture may be apart."""
    ranges = [np.ptp(faces.keypoints[rows].astype(np.float64), axis=0).ravel() for rows in groups]
    known = np.concatenate([*ranges, np.zeros(0)])
    known = known[~np.isnan(known)]
    usual = 1.4826 * float(np.median(known)) if len(known) else 0.0
    return max(USUAL * usual, APART * faces.images.shape[2])


def _disagreeing(
    faces: FaceSet, rows: np.ndarray, predicted: np.ndarray | None, limit: float
) -> Iterator[Finding]:
    labels = faces.keypoints[rows].astype(np.float64)
    shown = np.where(np.isnan(labels), np.inf, labels).min(axis=0)
    widest = np.where(np.isnan(labels), -np.inf, labels).max(axis=0) - shown
    points = np.flatnonzero(widest.max(axis=1) > limit)
    if not len(points):
        return
    away = _away(labels[:, points], None if predicted is None else predicted[rows][:, points])
    for i, row in enumerate(rows.tolist()):
        own = points[away[i] >= 0.5 * np.nanmax(away, axis=0)]
        if not len(own):
            continue
        worst = int(own[widest[own].max(axis=1).argmax()])
        others = ", ".join(str(faces.ids[r]) for r in rows if r != row)
        apart = float(widest[worst].max())
        reason = f"the same picture as row {others}, {faces.skeleton.points[worst]} "
        reason += f"{apart:.1f} px apart"
        yield Finding(row, "duplicate", apart / limit, reason, tuple(own.tolist()))


def _away(labels: np.ndarray, predicted: np.ndarray | None) -> np.ndarray:
    """(rows, points): how far each label is from where the point probably is; equal = unknown."""
    if predicted is not None and np.isfinite(predicted).all():
        reference = predicted.mean(axis=0)
    elif len(labels) > 2:
        reference = np.nanmedian(labels, axis=0)
    else:
        return np.where(np.isnan(labels).any(axis=2), np.nan, 1.0)
    return np.linalg.norm(labels - reference, axis=2)


def _outside(faces: FaceSet) -> Iterator[Finding]:
    height, width = faces.images.shape[1:3]
    edge = np.array([width, height]) - 0.5
    beyond = np.maximum(-0.5 - faces.keypoints, faces.keypoints - edge)
    beyond = np.nan_to_num(beyond.max(axis=2), nan=0.0)
    limit = OUTSIDE * width
    rows = np.flatnonzero((beyond > limit).any(axis=1))
    if len(rows) > max(_RARE * len(faces), 1):
        return
    for row in rows.tolist():
        points = np.flatnonzero(beyond[row] > limit)
        worst = int(beyond[row].argmax())
        reason = f"{faces.skeleton.points[worst]} {beyond[row, worst]:.1f} px outside the image"
        strength = float(beyond[row, worst] / limit)
        yield Finding(row, "geometry", strength, reason, tuple(points.tolist()))


def _one_place(faces: FaceSet) -> Iterator[Finding]:
    labels = faces.keypoints.astype(np.float64)
    count = faces.labelled.all(axis=2).sum(axis=1)
    low = np.where(np.isnan(labels), np.inf, labels).min(axis=1)
    high = np.where(np.isnan(labels), -np.inf, labels).max(axis=1)
    limit = 0.02 * faces.images.shape[2]
    size = (high - low).max(axis=1, initial=-np.inf)
    for row in np.flatnonzero((count >= 3) & (size < limit)).tolist():
        strength = limit / max(float(size[row]), limit / 10)
        yield Finding(row, "geometry", strength, "all keypoints in one place")


def _twice(faces: FaceSet) -> Iterator[Finding]:
    """Two keypoints in the very same place that usually are apart."""
    labels, names = faces.keypoints.astype(np.float64), faces.skeleton.points
    for one in range(len(names)):
        apart = np.linalg.norm(labels[:, one + 1 :] - labels[:, [one]], axis=2)
        for i in range(apart.shape[1]):
            known = apart[:, i][~np.isnan(apart[:, i])]
            if not len(known) or np.median(known) < 0.04 * faces.images.shape[2]:
                continue
            for row in np.flatnonzero(apart[:, i] < 0.1).tolist():
                other = one + 1 + i
                reason = f"{names[one]} and {names[other]} in the same place"
                yield Finding(row, "geometry", 2.0, reason, (one, other))


def _upside_down(faces: FaceSet) -> Iterator[Finding]:
    """Eyes exchanged, and mouths above noses, seen along the line of the eyes."""
    groups, ends = faces.skeleton.groups, faces.skeleton.eyes
    if ends is None or not {"nose", "mouth"} <= {*groups} or not len(faces):
        return
    labels = faces.keypoints.astype(np.float64)
    line = labels[:, ends[0]] - labels[:, ends[1]]
    # Which of the two is on the picture's right is the skeleton's affair; the median face tells.
    line = line * (-1 if np.nanmedian(np.append(line[:, 0], 0)) < 0 else 1)
    for row in np.flatnonzero(line[:, 0] <= 0).tolist():
        yield Finding(row, "geometry", 2.0, "eyes exchanged, or the face upside down", ends)
    down = np.stack([-line[:, 1], line[:, 0]], axis=1)
    down /= np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-9)
    mouth = list(groups["mouth"])
    nose = _middle(labels[:, list(groups["nose"])])
    below = np.einsum("npc,nc->np", labels[:, mouth] - nose[:, None], down)
    wrong = (below < -ABOVE * faces.images.shape[2]) & (line[:, [0]] > 0)
    for row in np.flatnonzero(wrong.any(axis=1)).tolist():
        points = [mouth[i] for i in np.flatnonzero(wrong[row])]
        reason = f"{faces.skeleton.points[points[0]]} above the nose"
        yield Finding(row, "geometry", 2.0, reason, (*groups["nose"], *points))


def _middle(points: np.ndarray) -> np.ndarray:
    """(n, 2) mean of the labelled points, NaN where there is none."""
    known = ~np.isnan(points)
    count = known.sum(axis=1)
    total = np.where(known, points, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
