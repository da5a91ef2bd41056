"""Layers that compute in another way for a while, in any model that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def inner_layers(layer: Any) -> Iterator[Any]:
    """A layer or model, and what it is made of at any depth."""
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from inner_layers(inner)


@contextmanager
def calling(layers: Iterable[Any], make: Callable[[Any], Callable[..., Any]]) -> Iterator[None]:
    """Has layers compute by another function than their own inside the block.

    Args:
        layers: Keras', those that come twice are taken once; afterwards they are as they were.
        make: gives a layer's `call` in the block; the layer it is given has its own yet.
    """
    once = list(dict.fromkeys(layers))
    for layer, call in [(layer, make(layer)) for layer in once]:
        layer.call = call
    try:
        yield
    finally:
        for layer in once:
            del layer.call
