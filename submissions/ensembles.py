"""Ensembles: several predictions of the same images become one, value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kfkd.errors import KfkdError, UnknownName

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def combine(
    predictions: Sequence[np.ndarray],
    how: str = "mean",
    weights: Sequence[float] | None = None,
) -> np.ndarray:
    """One prediction from several, over the members that predict a value.

    Args:
        predictions: one float array (n, k, 2) a member, in pixels; NaN where a member does not
            predict a keypoint, as one trained on a subset.
        how: "mean", "median" or "weighted".
        weights: one number from 0 up a member, for "weighted" only; they need not add up to 1. A
            member of weight 0 counts only where no member with a weight predicts the value.

    Returns:
        Float array (n, k, 2) in pixels, at least float32; NaN only where no member predicts.

    Raises:
        UnknownName: when there is no such `how`.
        KfkdError: when there is no member, shapes differ, a member holds an infinite value or
            nothing but NaN, or the weights do not fit.

    Example:
        >>> import numpy as np
        >>> dense, all_points = np.array([[[30.0, np.nan]]]), np.array([[[34.0, 60.0]]])
        >>> combine([dense, all_points])
        array([[[32., 60.]]])
    """
    if how not in RULES:
        raise UnknownName("way to combine predictions", how, list(RULES))
    members = _checked_members(predictions)
    values = np.stack([member.astype(np.float64) for member in members])
    shares = _checked_weights(weights, len(members), how)
    return RULES[how](values, shares).astype(np.result_type(*members, np.float32))


def ambiguity(
    predictions: Sequence[np.ndarray], weights: Sequence[float] | None = None
) -> np.ndarray:
    """What averaging wins, without any label: by how much the mean's squared error lies below its
    members', averaged with the same weights, whatever the truth.

    It is the members' mean squared distance from their mean (Krogh and Vedelsby 1995, "Neural
    network ensembles, cross validation, and active learning"). Averages of squared errors over
    values differ by the average of this over the same values.

    Args:
        predictions: as for `combine`.
        weights: likewise; None = the plain mean.

    Returns:
        float64 (n, k, 2) in square pixels, 0 where one member alone predicts, NaN where none does.

    Raises:
        KfkdError: as `combine` does.

    Example:
        >>> import numpy as np
        >>> one, other = np.array([[[30.0, 60.0]]]), np.array([[[34.0, 60.0]]])
        >>> ambiguity([one, other])
        array([[[4., 0.]]])
    """
    how = "mean" if weights is None else "weighted"
    members = [member.astype(np.float64) for member in _checked_members(predictions)]
    mean = combine(members, how, weights)
    return combine([np.square(member - mean) for member in members], how, weights)


def _mean(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mean over the members that predict, whatever the shares."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    count = known.sum(axis=0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _median(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Middle value, or mean of the two middle ones, of the members that predict."""
    ordered = np.sort(values, axis=0)  # NaN last, so an index below the count never meets one
    count = (~np.isnan(values)).sum(axis=0, keepdims=True)
    # Without any member the indices are -1 and 0: both NaN, which is the answer wanted.
    middle = [np.take_along_axis(ordered, i, axis=0)[0] for i in ((count - 1) // 2, count // 2)]
    return np.mean(middle, axis=0)


def _weighted(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Weighted mean; the plain mean where only members of weight 0 predict."""
    known = ~np.isnan(values)
    present = known * shares.reshape(-1, *[1] * (values.ndim - 1))
    total = (np.where(known, values, 0) * present).sum(axis=0)
    weight = present.sum(axis=0)
    return np.divide(total, weight, out=_mean(values, shares), where=weight > 0)


RULES: Mapping[str, Rule] = {"mean": _mean, "median": _median, "weighted": _weighted}
"""Ways to combine: (members, n, k, 2) and (members,) shares in, (n, k, 2) out."""


def _checked_members(predictions: Sequence[np.ndarray]) -> list[np.ndarray]:
    members = [np.asarray(member) for member in predictions]
    if not members:
        raise KfkdError("an ensemble wants at least one prediction. Received: none")
    shape = members[0].shape
    for index, member in enumerate(members):
        if member.ndim != 3 or member.shape[-1] != 2 or member.shape != shape:
            wanted = "(n, k, 2)" if index == 0 else f"{shape} like member 0"
            raise KfkdError(f"member {index} wants the shape {wanted}. Received: {member.shape}")
        if member.dtype.kind not in "fiu":
            raise KfkdError(f"member {index} wants floats in pixels. Received: {member.dtype}")
        if np.isinf(member).any():
            raise KfkdError(f"member {index} holds {np.isinf(member).sum()} infinite values")
        if member.size and np.isnan(member).all():
            raise KfkdError(f"member {index} predicts nothing: all its values are NaN")
    return members


def _checked_weights(weights: Sequence[float] | None, count: int, how: str) -> np.ndarray:
    """Shares (members,) with the largest at 1; all ones for a rule that takes no weights."""
    if how != "weighted":
        if weights is not None:
            raise KfkdError(f'weights are for how="weighted" only. Received: how={how!r}')
        return np.ones(count)
    if weights is None:
        raise KfkdError(f'how="weighted" wants {count} weights, one a member. Received: none')
    try:
        shares = np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise KfkdError(f"weights want numbers. Received: {weights!r:.200}") from error
    if shares.shape != (count,):
        raise KfkdError(f"{count} members want {count} weights. Received: {weights!r}")
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise KfkdError(f"weights want finite numbers from 0 up, not all 0. Received: {weights!r}")
    return shares / shares.max()
