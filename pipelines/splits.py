"""Grouped splits: identical images, or one person's, stay on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kfkd.errors import KfkdError
from kfkd.faces import FaceSet


def group_shares(group: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each group, drawn from its digest and the seed alone.

    It depends on nothing else, so a group falls on the same side of a split in every subset, file
    order, machine and version.

    Args:
        group: uint64 (n,).
        seed: the split's seed.

    Returns:
        float64 (n,), equal for equal groups.
    """
    unique, inverse = np.unique(group, return_inverse=True)
    digests = (hashlib.blake2b(f"{seed}:{int(g)}".encode(), digest_size=8).digest() for g in unique)
    numbers = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.float64) / 2.0**64
    return numbers[inverse]


def _shares(faces: FaceSet, seed: int) -> np.ndarray:
    """As `group_shares`; evenly spread over the persons of a set of photos."""
    shares = group_shares(faces.group, seed)
    if faces.photos is None:
        return shares
    # Persons are few: drawn one by one, four of 40 were held out where eight were asked for.
    unique, rank = np.unique(shares, return_inverse=True)
    return (rank + 0.5) / len(unique)


def grouped_split(faces: FaceSet, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits a set into training and validation rows, whole groups at a time.

    Args:
        faces: the set.
        validation: share of the groups held out, in [0, 1). Groups of identical images are drawn
            one by one, so the share of the rows comes out near it; of the persons of photos
            exactly this share is drawn.
        seed: the same seed gives the same split everywhere.

    Returns:
        Ascending row indices of training and of validation; validation is empty only where
        `validation` is 0.

    Raises:
        KfkdError: when the share is outside [0, 1) or fewer than two groups are there to split.
    """
    if not 0 <= validation < 1:
        raise KfkdError(f"a validation share lies in [0, 1). Received: {validation}")
    if validation == 0:
        return np.arange(len(faces)), np.empty(0, int)
    shares = _shares(faces, seed)
    if len(np.unique(shares)) < 2:
        raise KfkdError(
            f"a validation split wants at least two different images. Received: {len(faces)} rows "
            "that belong to one group"
        )
    held_out = shares < min(max(validation, shares.min() + 1e-12), shares.max())
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def folds(faces: FaceSet, k: int, seed: int) -> np.ndarray:
    """Fold numbers for k-fold cross-validation, whole groups at a time.

    Args:
        faces: the set.
        k: how many folds, at least 2.
        seed: as in `grouped_split`.

    Returns:
        int (n,), 0 … k − 1.

    Raises:
        KfkdError: when k is below 2.
    """
    if k < 2:
        raise KfkdError(f"cross-validation wants at least 2 folds. Received: {k}")
    return np.floor(_shares(faces, seed) * k).astype(int)


def fold_split(faces: FaceSet, fold: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits a set into the rows of one fold of a cross-validation and the rest.

    Args:
        faces: the set.
        fold: (i, k), the fold's number from 0 and how many there are. Fold 0 of k holds out the
            rows of `grouped_split` with a share of 1 / k.
        seed: as in `folds`.

    Returns:
        Ascending row indices of the rest and of the fold.

    Raises:
        KfkdError: when there is no such fold, or it or the rest has no row.
    """
    number, k = fold
    if not 0 <= number < k:
        raise KfkdError(f"{k} folds are numbered from 0 to {k - 1}. Received: {number}")
    own = folds(faces, k, seed) == number
    if own.all() or not own.any():
        raise KfkdError(
            f"fold {number} of {k} wants some of the rows, not all. Received: {own.sum()} of "
            f"{len(faces)}, in {len(np.unique(faces.group))} groups; fewer folds, or another seed "
            "of the folds, may help"
        )
    return np.flatnonzero(~own), np.flatnonzero(own)


def held_out_rows(faces: FaceSet, split: Mapping[str, Any]) -> np.ndarray:
    """The rows that a run's split holds out.

    Args:
        faces: all rows of the run's data.
        split: as its run.json has it.

    Raises:
        KfkdError: when the split makes no sense.
    """
    if fold := recorded_fold(split):
        return fold_split(faces, fold, split["seed"])[1]
    return grouped_split(faces, split["share"], split["seed"])[1]


def recorded_fold(split: Mapping[str, Any]) -> tuple[int, int] | None:
    """The fold (i, k) that a run's split holds out, None where that is a share.

    Args:
        split: as its run.json has it.

    Raises:
        KfkdError: when it is none.
    """
    match split.get("fold"):
        case None:
            return None
        case [int(number), int(k)]:
            return number, k
    raise KfkdError(f"a split's fold wants two whole numbers. Received: {split['fold']!r:.100}")
