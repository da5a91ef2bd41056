"""Models that compute in float32, whatever they were trained in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfkd.lazy import keras
from kfkd.learning.half_precision import slow_here
from kfkd.pipelines.layer_calls import inner_layers

if TYPE_CHECKING:
    from keras import Model

    from kfkd.runs import Run


def is_mixed(model: Model) -> bool:
    """Whether a layer of the model computes in other numbers than float32."""
    return bool(_other_numbers(model))


def net_in_float32(run: Run, subset: str) -> Model:
    """A run's model; where it is mixed another copy of it, that computes in float32.

    Args:
        run: with its `.keras` files, or of models in float32.
        subset: of the run's subsets.
    """
    from kfkd.runs import load_model

    if not is_mixed(run.model(subset)):
        return run.model(subset)
    model = load_model(run.folder / f"{subset}.keras")
    for layer in inner_layers(model):
        layer.dtype_policy = keras.DTypePolicy("float32")
    return model


def answering_net(run: Run, subset: str) -> Model:
    """The net that answers fastest here: in float32 where its own numbers would be emulated.

    Args:
        run: as for `net_in_float32`.
        subset: of the run's subsets.
    """
    model = run.model(subset)
    slow = any(slow_here(f"mixed_{numbers}") for numbers in _other_numbers(model))
    return net_in_float32(run, subset) if slow else model


def answers_mixed(run: Run) -> bool:
    """Whether a run's answers are computed in other numbers than float32 here.

    Args:
        run: as for `net_in_float32`.
    """
    return any(is_mixed(run.answer_model(subset).net) for subset in run.subsets)


def _other_numbers(model: Model) -> set[str]:
    return {layer.compute_dtype for layer in inner_layers(model)} - {"float32"}
