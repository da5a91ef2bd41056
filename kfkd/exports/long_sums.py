"""Long sums in parts: LiteRT adds a dense layer's inputs up one after the other, in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kfkd.lazy import keras
from kfkd.pipelines.layer_calls import calling, inner_layers

if TYPE_CHECKING:
    from keras import Layer, Model

_PART = 4096
"""Inputs that are added up at once. `baseline` has 88,360: added in order they come out 0.0007 px
and more from float64's sum, in such parts 0.00002 px, as Keras' own do."""


@contextmanager
def long_sums_in_parts(models: Iterable[Model]) -> Iterator[None]:
    """Has dense layers of very many inputs add them up in parts, while a graph is made of them.

    The function is the same; only its rounding is less where a runtime adds in order.

    Args:
        models: any; outside of the block they are as they were.
    """
    every = (layer for model in models for layer in inner_layers(model))
    with calling(filter(_is_long, every), _in_parts):
        yield


def _is_long(layer: Layer) -> bool:
    dense = keras.layers.Dense
    plain = isinstance(layer, dense) and type(layer).call is dense.call
    return plain and not layer.quantization_mode and layer.kernel.shape[0] > _PART


def _in_parts(layer: Any) -> Callable[..., Any]:
    """The layer's `call`, with as many products as there are parts."""

    def call(inputs: Any, training: Any = None) -> Any:
        ops, kernel = keras.ops, layer.kernel
        parts = [slice(at, at + _PART) for at in range(0, kernel.shape[0], _PART)]
        sums = [ops.matmul(inputs[..., part], kernel[part]) for part in parts]
        x = sum(sums[1:], sums[0])
        x = x if layer.bias is None else ops.add(x, layer.bias)
        return x if layer.activation is None else layer.activation(x)

    return call
