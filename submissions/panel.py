"""Several members' out-of-fold predictions of the same rows: what an ensemble is fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kfkd.errors import KfkdError
from kfkd.submissions.out_of_fold import OutOfFold


@dataclass(frozen=True)
class Panel:
    """Members that predict the same rows.

    Args:
        names: of the m members, as a user sees them.
        predicted: float (m, n, k, 2) in pixels, NaN = a keypoint that a member does not predict.
        truth: float (n, k, 2), NaN = not labelled.
        source: str (n,), who labelled a row.
        fold: int (n,), the same for all rows of a group.
        group: uint64 (n,), equal for rows that belong together.
        parts: keypoint indices by part of the face, where the skeleton has any.
        ids: int (n,), the rows' numbers.
        keys: what the members are, wherever they lie: `OutOfFold.key` of each.
    """

    names: tuple[str, ...]
    predicted: np.ndarray
    truth: np.ndarray
    source: np.ndarray
    fold: np.ndarray
    group: np.ndarray
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    keys: tuple[str, ...] = ()

    def __getitem__(self, rows: np.ndarray) -> Panel:
        """The panel of some rows."""
        return replace(
            self,
            predicted=self.predicted[:, rows],
            truth=self.truth[rows],
            source=self.source[rows],
            fold=self.fold[rows],
            group=self.group[rows],
            ids=self.ids[rows] if len(self.ids) else self.ids,
        )

    def members(self, chosen: Sequence[int]) -> Panel:
        """The panel of some members."""
        names = tuple(self.names[i] for i in chosen)
        keys = tuple(self.keys[i] for i in chosen) if self.keys else ()
        return replace(self, names=names, keys=keys, predicted=self.predicted[list(chosen)])

    def points(self, chosen: Sequence[int]) -> Panel:
        """The panel of some keypoints."""
        own = list(chosen)
        parts = {
            name: tuple(own.index(p) for p in points if p in own)
            for name, points in self.parts.items()
        }
        return replace(
            self, predicted=self.predicted[:, :, own], truth=self.truth[:, own], parts=parts
        )

    @property
    def inner_folds(self) -> np.ndarray:
        """int (n,): folds to choose settings by; halves where the rows are all of one fold."""
        return self.fold if len(np.unique(self.fold)) > 1 else (self.group % 2).astype(int)

    def blocks(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Keypoints that the same members predict, with these members; indices of both."""
        known = np.isfinite(self.predicted).all(axis=(1, 3))  # (m, k)
        found: dict[tuple[int, ...], list[int]] = {}
        for point in range(known.shape[1]):
            found.setdefault(tuple(np.flatnonzero(known[:, point]).tolist()), []).append(point)
        return [(tuple(points), members) for members, points in found.items() if members]


def panel_of(members: Sequence[OutOfFold], names: Sequence[str] | None = None) -> Panel:
    """The panel of several models' out-of-fold predictions.

    Args:
        members: of the same data; a member of several seeds counts as their mean.
        names: how they are called; None = by their model.

    Raises:
        KfkdError: when there is none, or they are of different data.

    Example:
        >>> panel_of([read_out_of_fold("cv/pyramid/oof.npz")]).names  # doctest: +SKIP
        ('pyramid',)
    """
    if not members:
        raise KfkdError("an ensemble wants at least one member. Received: none")
    first = members[0]
    for one in members[1:]:
        if one.facts["fingerprint"] != first.facts["fingerprint"]:
            raise KfkdError(
                f"members of one ensemble want the same data. Received: {first.model} of "
                f"{first.facts['fingerprint']}, {one.model} of {one.facts['fingerprint']}"
            )
    return Panel(
        names=tuple(names or (one.model for one in members)),
        predicted=np.stack([one.mean for one in members]),
        truth=first.truth.astype(np.float64),
        source=first.source,
        fold=first.fold,
        group=first.group,
        parts=first.skeleton.groups,
        ids=first.ids,
        keys=tuple(one.key for one in members),
    )
