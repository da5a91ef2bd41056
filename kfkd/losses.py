"""Losses and metrics on the device that leave missing labels (NaN) out; backend-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from kfkd.codecs import Coordinates


def masked_errors(target: Any, output: Any) -> tuple[Any, Any]:
    """Differences with zeros where there is no label.

    Args:
        target: (n, m), NaN = not labelled.
        output: (n, m).

    Returns:
        The differences (n, m) in float32 and the number of labels, at least 1.
    """
    target, output = ops.cast(target, "float32"), ops.cast(output, "float32")
    known = ops.logical_not(ops.isnan(target))
    errors = ops.where(known, ops.where(known, target, 0.0) - output, 0.0)
    return errors, ops.maximum(ops.sum(ops.cast(known, "float32")), 1.0)


def masked_mse(target: Any, output: Any) -> Any:
    """Mean squared error over the labelled values of the batch."""
    errors, count = masked_errors(target, output)
    return ops.sum(ops.square(errors)) / count


def masked_rmse(target: Any, output: Any) -> Any:
    """Root of the batch's mean squared error, the loss of the study's first models."""
    return ops.sqrt(masked_mse(target, output) + 1e-12)


def masked_mae(target: Any, output: Any) -> Any:
    """Mean absolute error over the labelled values of the batch."""
    errors, count = masked_errors(target, output)
    return ops.sum(ops.absolute(errors)) / count


def masked_huber(target: Any, output: Any, delta: float = 1.0) -> Any:
    """Huber loss (1964) over the labelled values: squared up to `delta`, linear beyond."""
    errors, count = masked_errors(target, output)
    size = ops.absolute(errors)
    inner = ops.minimum(size, delta)
    return ops.sum(inner * (size - 0.5 * inner)) / count


LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    "mse": masked_mse,
    "rmse": masked_rmse,
    "mae": masked_mae,
    "huber": masked_huber,
}
"""Losses by the name that a recipe gives."""


class PixelRMSE(keras.metrics.Metric):
    """RMSE in pixels over all labelled values of an epoch, not a mean over batches.

    Args:
        codec: turns targets and outputs into pixels.
        name: the metric's name in logs.
    """

    def __init__(self, codec: Coordinates, name: str = "rmse") -> None:
        super().__init__(name=name, dtype="float32")
        self.codec = codec
        self.squares = self.add_variable((), "zeros", name="squares")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: `y_true`, `y_pred` (n, m) as the codec encodes them."""
        truth = ops.cast(self.codec.decode(ops.cast(y_true, "float32")), "float32")
        errors, _ = masked_errors(truth, self.codec.decode(ops.cast(y_pred, "float32")))
        known = ops.cast(ops.logical_not(ops.isnan(truth)), "float32")
        self.squares.assign_add(ops.sum(ops.square(errors)))
        self.count.assign_add(ops.sum(known))

    def result(self) -> Any:
        """The error so far, in pixels."""
        return ops.sqrt(self.squares / ops.maximum(self.count, 1.0))
