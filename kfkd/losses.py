"""Losses and metrics on the device that leave missing labels (NaN) out; backend-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import fullmatch
from typing import Any

import keras
from keras import ops

from kfkd.codecs import Codec
from kfkd.errors import KfkdError, UnknownName
from kfkd.map_losses import MAP_LOSSES, masked_errors


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


def masked_wing(target: Any, output: Any, width: float = 10.0, curvature: float = 2.0) -> Any:
    """Wing loss over the labelled values: a logarithm for small errors, linear for large ones.

    After Feng et al., "Wing loss for robust facial landmark localisation with convolutional neural
    networks" (2018), with its numbers, which are meant for targets in pixels.

    Args:
        target: (n, m), NaN = not labelled.
        output: (n, m).
        width: error up to which the logarithm reaches, in units of the target.
        curvature: the smaller, the steeper at zero.
    """
    errors, count = masked_errors(target, output)
    size = ops.absolute(errors)
    # Both parts meet at `width`; the logarithm's argument stops there to keep gradients finite.
    inner = width * ops.log1p(ops.minimum(size, width) / curvature)
    return ops.sum(inner + ops.maximum(size - width, 0.0)) / count


LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    "mse": masked_mse,
    "rmse": masked_rmse,
    "mae": masked_mae,
    "huber": masked_huber,
    "wing": masked_wing,
    **MAP_LOSSES,
}
"""Losses by the name that a recipe gives."""

_NUMBERED: Mapping[str, Callable[..., Any]] = {"huber": masked_huber, "wing": masked_wing}


def loss_called(text: str) -> Callable[[Any, Any], Any]:
    """The loss that a recipe names, with numbers of its own where the text has them.

    Args:
        text: a name in `LOSSES`, or "huber(3)", "wing(10, 2)": their numbers in units of the
            target, pixels for most codecs.

    Raises:
        UnknownName: when there is no such loss.
        KfkdError: when its numbers make no sense.

    Example:
        >>> loss_called("huber(3)")  # doctest: +SKIP
    """
    name, numbers = numbered(text)
    if name not in LOSSES:
        raise UnknownName("loss", text, list(LOSSES))
    if not numbers:
        return LOSSES[name]
    most = {"huber": 1, "wing": 2}.get(name, 0)
    if len(numbers) > most or min(numbers) <= 0:
        raise KfkdError(f"{name} takes at most {most} numbers above 0. Received: {text}")

    def with_numbers(target: Any, output: Any) -> Any:
        return _NUMBERED[name](target, output, *numbers)

    return with_numbers


def numbered(text: str) -> tuple[str, tuple[float, ...]]:
    """Name and numbers of "name(1, 2)"; a text of another form is all name."""
    match = fullmatch(r"(\w+)\(([\d., ]+)\)", text)
    if not match:
        return text, ()
    try:
        return match[1], tuple(float(number) for number in match[2].split(","))
    except ValueError:
        return text, ()


class PixelRMSE(keras.metrics.Metric):
    """RMSE in pixels over all labelled values of an epoch, not a mean over batches.

    Args:
        codec: turns targets and outputs into pixels.
        name: the metric's name in logs.
    """

    def __init__(self, codec: Codec, name: str = "rmse") -> None:
        super().__init__(name=name, dtype="float32")
        self.codec = codec
        self.squares = self.add_variable((), "zeros", name="squares")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: `y_true` as the codec's batches carry it, `y_pred` the network's answer."""
        truth = ops.cast(self.codec.truth(ops.cast(y_true, "float32")), "float32")
        errors, _ = masked_errors(truth, self.codec.decode(ops.cast(y_pred, "float32")))
        known = ops.cast(ops.logical_not(ops.isnan(truth)), "float32")
        self.squares.assign_add(ops.sum(ops.square(errors)))
        self.count.assign_add(ops.sum(known))

    def result(self) -> Any:
        """The error so far, in pixels."""
        return ops.sqrt(self.squares / ops.maximum(self.count, 1.0))
