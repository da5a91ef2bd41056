"""Images that occur more than once, and how far their labels are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from kfkd.faces import FaceSet, image_groups

_MANY = 20
"""Rows of a group from which not every pair is compared."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Rows that show the very same pixels.

    Args:
        group: digest of the image.
        rows: positions in the set, from 0.
        pair: the two rows whose labels differ most.
        disagreement: largest difference of one coordinate within a pair, in pixels; NaN where no
            two rows label the same keypoint.
    """

    group: int
    rows: tuple[int, ...]
    pair: tuple[int, int]
    disagreement: float


def duplicate_groups(faces: FaceSet) -> list[DuplicateGroup]:
    """Groups of identical images, those whose labels differ most first.

    The pixels are compared, not `FaceSet.group`: that may hold one person's different pictures.

    Args:
        faces: any set.
    """
    rows = np.arange(len(faces))
    digests, inverse, counts = np.unique(
        image_groups(faces.images), return_inverse=True, return_counts=True
    )
    members = [rows[inverse == g] for g in np.flatnonzero(counts > 1)]
    groups = [_group(faces, int(digests[inverse[m[0]]]), m) for m in members]
    return sorted(groups, key=lambda g: (-np.nan_to_num(g.disagreement, nan=-1.0), g.rows))


def _group(faces: FaceSet, digest: int, rows: np.ndarray) -> DuplicateGroup:
    points = faces.keypoints[rows].reshape(len(rows), -1).astype(np.float64)
    known = ~np.isnan(points)
    lowest, highest = np.where(known, points, np.inf), np.where(known, points, -np.inf)
    # A coordinate that fewer than two rows have cannot disagree.
    apart = np.where(known.sum(axis=0) > 1, highest.max(axis=0) - lowest.min(axis=0), -1.0)
    column = int(apart.argmax())
    pair = sorted({int(rows[lowest[:, column].argmin()]), int(rows[highest[:, column].argmax()])})
    if apart[column] < 0 or len(pair) < 2:
        pair = rows[:2].tolist()
    disagreement = float(apart[column]) if apart[column] >= 0 else float("nan")
    return DuplicateGroup(digest, tuple(rows.tolist()), (pair[0], pair[1]), disagreement)


def _pairs(rows: tuple[int, ...]) -> list[tuple[int, int]]:
    """Every pair of a small group; neighbours only in a large one, such as many blank images."""
    return list(combinations(rows, 2)) if len(rows) <= _MANY else list(pairwise(rows))


def _differences(faces: FaceSet, one: int, other: int) -> np.ndarray:
    return np.abs(faces.keypoints[one].astype(np.float64) - faces.keypoints[other])


def disagreement(faces: FaceSet, groups: Sequence[DuplicateGroup]) -> dict[str, Any]:
    """How far the labels of identical images are apart.

    Args:
        faces: the set.
        groups: its `duplicate_groups`.

    Returns:
        groups, rows, split_apart (identical images that `FaceSet.group` tells apart, so a split may
        too); for "all", "same_source", "across_sources" and each of "keypoints" the number of pairs
        and coordinates compared and the rms, rms without the largest 1 %, median, 95 % and max of
        their difference in pixels. A single label's error is the rms / sqrt(2), where the two rows
        were labelled independently.
    """
    pairs = [pair for group in groups for pair in _pairs(group.rows)]
    same = np.array([faces.source[a] == faces.source[b] for a, b in pairs], bool)
    apart = [_differences(faces, *pair) for pair in pairs]
    points = enumerate(faces.skeleton.points)
    return {
        "groups": len(groups),
        "rows": sum(len(group.rows) for group in groups),
        "split_apart": sum(len(np.unique(faces.group[list(g.rows)])) > 1 for g in groups),
        "all": _spread(apart),
        "same_source": _spread([apart[i] for i in np.flatnonzero(same)]),
        "across_sources": _spread([apart[i] for i in np.flatnonzero(~same)]),
        "keypoints": {name: _spread([a[i] for a in apart]) for i, name in points if pairs},
    }


def _spread(differences: list[np.ndarray]) -> dict[str, float | int]:
    values = np.concatenate([*(d.ravel() for d in differences), np.zeros(0)])
    values = np.sort(values[~np.isnan(values)])
    nan = float("nan")
    some = len(values) > 0
    return {
        "pairs": sum(not np.isnan(d).all() for d in differences),
        "coordinates": len(values),
        "rms": float(np.sqrt(np.square(values).mean())) if some else nan,
        "rms99": float(np.sqrt(np.square(values[: -(-99 * len(values) // 100)]).mean()))
        if some
        else nan,
        "median": float(np.median(values)) if some else nan,
        "95%": float(np.percentile(values, 95)) if some else nan,
        "max": float(values.max()) if some else nan,
    }
