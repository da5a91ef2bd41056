"""Losses for heatmaps, which are nearly empty: what stands there must weigh more than the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops


def masked_errors(target: Any, output: Any) -> tuple[Any, Any]:
    """Differences with zeros where there is no label.

    Args:
        target: any shape, NaN = not labelled.
        output: the same shape.

    Returns:
        The differences in float32 and the number of labels, at least 1.
    """
    target, output = ops.cast(target, "float32"), ops.cast(output, "float32")
    known = ops.logical_not(ops.isnan(target))
    errors = ops.where(known, ops.where(known, target, 0.0) - output, 0.0)
    return errors, ops.maximum(ops.sum(ops.cast(known, "float32")), 1.0)


def weighted_mse(target: Any, output: Any, weight: float = 10.0) -> Any:
    """Mean squared error that counts a cell 1 + `weight` · target times.

    Args:
        target: (n, h, w, k) in [0, 1], NaN = not labelled.
        output: (n, h, w, k).
        weight: how much more a peak counts than an empty cell.
    """
    errors, count = masked_errors(target, output)
    return ops.sum(ops.square(errors) * (1.0 + weight * _known(target))) / count


def adaptive_wing(target: Any, output: Any, weight: float = 10.0) -> Any:
    """Adaptive wing loss, weighted: a wing loss on peaks, a squared error on empty cells.

    After Wang et al., "Adaptive wing loss for robust face alignment via heatmap regression"
    (2019), with its numbers: α = 2.1, ω = 14, ε = 1, θ = 0.5. Cells whose 3×3 neighbourhood
    reaches 0.2 count 1 + `weight` times.

    Args:
        target: (n, h, w, k) in [0, 1], NaN = not labelled.
        output: (n, h, w, k).
        weight: how much more a cell near a peak counts.
    """
    errors, count = masked_errors(target, output)
    size, known = ops.absolute(errors), _known(target)
    power = _ALPHA - known
    at_bend = ops.power(_THETA, power)
    slope = _OMEGA * power * at_bend / (_THETA * (1.0 + at_bend))
    inner = _OMEGA * ops.log1p(ops.power(ops.minimum(size, _THETA), power))
    losses = inner + slope * ops.maximum(size - _THETA, 0.0)
    near = ops.cast(ops.max_pool(known, 3, strides=1, padding="same") >= 0.2, "float32")
    return ops.sum(losses * (1.0 + weight * near)) / count


_ALPHA, _OMEGA, _THETA = 2.1, 14.0, 0.5


def _known(target: Any) -> Any:
    """The target in float32, 0 where nothing is labelled."""
    target = ops.cast(target, "float32")
    return ops.where(ops.isnan(target), 0.0, target)


MAP_LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    "weighted_mse": weighted_mse,
    "adaptive_wing": adaptive_wing,
}
"""Losses that make sense on heatmaps alone."""
