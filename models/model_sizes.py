"""What a model would take, found out without taking it.

A few bytes can describe a layer that no memory holds. So a model that someone else described is
built once without values: Keras then knows all shapes and makes no number. That is done in a thread
of its own, whose scopes and names end with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from kfkd.errors import DataError
from kfkd.lazy import keras

if TYPE_CHECKING:
    from keras import Model

MOST_CALLS = 20_000_000
"""Of Python's functions while a model is built; Inception takes 850,000."""

_PER_PIXEL = 1024
"""Numbers that a layer may give for a pixel of the image; the zoo's give 190 at most."""


class Size(NamedTuple):
    """Of a model.

    Args:
        weights: how many numbers.
        widest: how many numbers its widest layer gives for an image.
        pixels: of an image.
    """

    weights: int
    widest: int
    pixels: int


def size_of(make: Callable[[], Model]) -> Size:
    """The size of the model that `make` would make.

    Args:
        make: builds it; called in another thread, once, and without any values.

    Raises:
        Exception: what `make` raises, or DataError when it has no end.
    """
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(_size, make).result()
        except _Endless as error:
            raise DataError("it describes a model without end") from error


class _Endless(BaseException):
    """Nothing that Keras would catch and go on with."""


def check_size(config: dict[str, Any], own: dict[str, Any], stored: int) -> None:
    """Refuses a model file whose model is larger than its weights say, or without all measure.

    Args:
        config: of the model, checked for what it names.
        own: registered classes that it names.
        stored: how many numbers the weights hold.

    Raises:
        DataError: when it is too large, or no model.
    """

    def make() -> Model:
        return keras.saving.deserialize_keras_object(config, custom_objects=own, safe_mode=True)

    try:
        size = size_of(make)
    except DataError:
        raise
    except Exception as error:  # Keras raises almost anything on configs that make no sense
        told = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise DataError(f"it describes no model: {told}") from error
    if size.weights > stored:
        told = f"it describes a model of {size.weights:,} numbers, and holds {stored:,}"
        raise DataError(told)
    refuse_wide(size)


def refuse_wide(size: Size) -> None:
    """Refuses a model one of whose layers makes far too much of an image.

    Raises:
        DataError: when it does.
    """
    if size.widest > _PER_PIXEL * size.pixels:
        raise DataError(
            f"it describes a layer that gives {size.widest:,} numbers for an image of "
            f"{size.pixels:,} pixels, more than {_PER_PIXEL} a pixel"
        )


def _size(make: Callable[[], Model]) -> Size:
    calls = 0

    def counted(*call: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > MOST_CALLS:
            raise _Endless

    sys.settrace(counted)  # of this thread alone, and gone with it
    with keras.StatelessScope(initialize_variables=False):
        model = make()
        image = getattr(model, "input_shape", None)
        if not isinstance(image, tuple) or len(image) != 4 or None in image[1:]:
            raise ValueError(f"it takes {image!r:.100}, not images")
        widest = max(prod(shape[1:]) for shape in _shapes(model))
        return Size(model.count_params(), widest, prod(image[1:3]))


def _shapes(model: Any) -> Iterator[tuple[int, ...]]:
    """What all layers give, those of models inside it too."""
    for operation in _functional(model).operations:
        for node in operation._inbound_nodes:  # a layer may be used several times
            for tensor in node.output_tensors:
                yield tuple(side or 1 for side in tensor.shape)
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            yield from _shapes(operation)


def _functional(model: Any) -> Any:
    return keras.Model(model.inputs, model.outputs) if hasattr(model, "inputs") else model
