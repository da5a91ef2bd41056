"""Grouped splits: identical images, or one person's, stay on one side."""

from __future__ import annotations

import hashlib

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


def grouped_split(faces: FaceSet, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits a set into training and validation rows, whole groups at a time.

    Args:
        faces: the set.
        validation: share of the groups held out, in [0, 1); groups are drawn one by one, so the
            share of the rows comes out near it.
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
    shares = group_shares(faces.group, seed)
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
    return np.floor(group_shares(faces.group, seed) * k).astype(int)
