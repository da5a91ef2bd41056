"""What an audit says of a row: a rule, how strongly, a plain reason, and which keypoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.faces import FaceSet
from kfkd.suspects import ALL

RULES = {
    "swapped": "left and right exchanged, by the out-of-fold predictions",
    "moved": "all keypoints shifted, larger or smaller than the predictions, alike",
    "residual": "a keypoint far from its out-of-fold prediction",
    "duplicate": "the same picture labelled elsewhere",
    "geometry": "points where no face has them",
    "unusual": "far from where faces have their keypoints; to look at, nothing is dropped for it",
}
"""The rules of an audit and what they find."""

LOOK_ONLY = ("unusual",)
"""Rules that are no reason to drop a label."""


@dataclass(frozen=True)
class Finding:
    """A reason to doubt a row.

    Args:
        row: position in the set, from 0.
        rule: one of `RULES`.
        strength: how many times the rule's threshold, from 1.
        reason: in words.
        points: indices of the doubted keypoints, () = all.
    """

    row: int
    rule: str
    strength: float
    reason: str
    points: tuple[int, ...] = ()


def suspects_table(faces: FaceSet, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """A line for each suspect row, the most suspect first.

    Args:
        faces: the set.
        findings: of all rules.

    Returns:
        rank, row (id), source, score (of the strongest finding), rules, reason, drop ("all", names
        of keypoints, or "") and position (from 0).
    """
    by_row: dict[int, list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: -f.strength):
        by_row.setdefault(finding.row, []).append(finding)
    ranked = sorted(by_row.items(), key=lambda item: (-item[1][0].strength, item[0]))
    return [
        {
            "rank": rank,
            "row": int(faces.ids[row]),
            "source": str(faces.source[row]),
            "score": round(float(found[0].strength), 3),
            "rules": " ".join(dict.fromkeys(finding.rule for finding in found)),
            "reason": "; ".join(finding.reason for finding in found),
            "drop": _drop(faces, row, found),
            "position": row,
        }
        for rank, (row, found) in enumerate(ranked, 1)
    ]


def _drop(faces: FaceSet, row: int, found: Sequence[Finding]) -> str:
    """Which labels not to learn: all where more than half of them are doubted."""
    against = [finding for finding in found if finding.rule not in LOOK_ONLY]
    if not against:
        return ""
    points = {point for finding in against for point in finding.points}
    labelled = set(np.flatnonzero(faces.labelled[row].any(axis=1)).tolist())
    if any(not finding.points for finding in against) or 2 * len(points) > len(labelled):
        return ALL
    return " ".join(faces.skeleton.points[point] for point in sorted(points))
