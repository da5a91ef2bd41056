"""Models that compute in float32, whatever they were trained in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


def is_emulated(model: Model) -> bool:
    """Whether the processor would only emulate the numbers that a layer computes in."""
    return any(slow_here(f"mixed_{numbers}") for numbers in _other_numbers(model))


def answers_mixed(run: Run) -> bool:
    """Whether a run's answers are computed in other numbers than float32 here."""
    models = map(run.model, run.subsets)
    return any(is_mixed(model) and not is_emulated(model) for model in models)


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


@contextmanager
def fastest_numbers(model: Model) -> Iterator[None]:
    """Has a model compute in float32 inside the block where its own numbers would be emulated.

    What is compiled there stays so: nothing of the model changes, and its weights are its own.

    Args:
        model: afterwards it is as it was.
    """
    layers = list(dict.fromkeys(inner_layers(model))) if is_emulated(model) else []
    policies = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy("float32")
    try:
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def _other_numbers(model: Model) -> set[str]:
    return {layer.compute_dtype for layer in inner_layers(model)} - {"float32"}
