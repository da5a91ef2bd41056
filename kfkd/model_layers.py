"""Looking into a trained model: its layers, through nested models, and what they give."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.errors import KfkdError, UnknownName
from kfkd.lazy import keras

if TYPE_CHECKING:
    from keras import Layer, Model

Shape = tuple[int, ...]


def named_layers(model: Model, within: str = "") -> dict[str, Layer]:
    """A model's layers by name, those of nested models as "backbone/conv1", each once.

    Keras numbers layers without a name of their own through a whole process, so that two models
    of a run differ; here the numbers begin anew in every model.

    Args:
        model: a Keras model.
        within: what the names begin with.
    """
    found: dict[str, Layer] = {}
    counts: Counter[str] = Counter()
    for layer in model.layers:
        nested = isinstance(layer, keras.Model)
        name = within + _name(layer, counts)
        more = named_layers(layer, f"{name}/") if nested else {name: layer}
        known = {id(one) for one in found.values()}
        found |= {name: one for name, one in more.items() if id(one) not in known}
    return found


def _name(layer: Layer, counts: Counter[str]) -> str:
    stem = re.sub(r"_\d+$", "", layer.name)
    if stem.replace("_", "") != type(layer).__name__.lower():
        return layer.name
    counts[stem] += 1
    return stem if counts[stem] == 1 else f"{stem}_{counts[stem] - 1}"


def first_convolution(model: Model) -> tuple[str, np.ndarray] | None:
    """The first convolution of a model, with its kernel.

    Args:
        model: a Keras model.

    Returns:
        Its name and float32 (height, width, channels, filters); None where there is none.
    """
    for name, layer in named_layers(model).items():
        if isinstance(layer, keras.layers.Conv2D):
            return name, keras.ops.convert_to_numpy(layer.kernel).astype(np.float32)
    return None


def layer_shapes(model: Model) -> dict[str, Shape]:
    """What each layer gives for an image, in the order of the computation.

    Args:
        model: of one input of a fixed shape.

    Returns:
        Shapes without the batch, by the names of `named_layers`; layers that give several arrays
        are left out.
    """
    shapes: dict[str, Shape] = {}

    def note(name: str, output: Any) -> None:
        shapes.setdefault(name, tuple(output.shape[1:]))

    image = np.zeros((1, *model.input_shape[1:]), np.uint8)
    _run(model, image, named_layers(model), note)
    return shapes


def layer_outputs(model: Model, image: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    """What some layers give for an image, as at prediction time.

    Args:
        model: of one input.
        image: uint8 (h, w, c).
        names: of `layer_shapes`.

    Returns:
        float32 arrays without the batch, in the order of the names.

    Raises:
        UnknownName: when the model has no such layer.
    """
    layers, names, found = named_layers(model), list(names), dict[str, np.ndarray]()
    for name in names:
        if name not in layers:
            raise UnknownName("layer", name, list(layers))

    def keep(name: str, output: Any) -> None:
        found.setdefault(name, keras.ops.convert_to_numpy(output)[0].astype(np.float32))

    _run(model, image[None], {name: layers[name] for name in names}, keep)
    if absent := [name for name in names if name not in found]:
        raise KfkdError(f"the layer {absent[0]} gives no array for an image")
    return {name: found[name] for name in names}


def stage_outputs(model: Model, shapes: Mapping[str, Shape]) -> list[str]:
    """The last layer of each convolutional stage: of layers that follow on one size of maps.

    Args:
        model: a Keras model.
        shapes: of `layer_shapes`.

    Returns:
        Names in the order of the computation; none where the model gives no maps.
    """
    kinds = keras.layers
    convolutions = (
        kinds.Conv2D,
        kinds.Conv2DTranspose,
        kinds.DepthwiseConv2D,
        kinds.SeparableConv2D,
    )
    layers, stages = named_layers(model), list[dict[str, Any]]()
    for name, shape in shapes.items():
        convolves = isinstance(layers[name], convolutions)
        if len(shape) != 3 or isinstance(layers[name], kinds.Dropout):
            continue
        if not stages or stages[-1]["size"] != shape[:2]:
            stages.append({"size": shape[:2], "convolves": False})
        stages[-1]["last"] = name
        stages[-1]["convolves"] |= convolves
    return [stage["last"] for stage in stages if stage["convolves"]]


def _run(
    model: Model, images: np.ndarray, layers: Mapping[str, Layer], see: Callable[[str, Any], None]
) -> None:
    """Runs a model once and shows what each layer gives."""
    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.enter_context(_watched(layer, partial(see, name)))
        model(keras.ops.convert_to_tensor(images), training=False)


@contextmanager
def _watched(layer: Layer, see: Callable[[Any], None]) -> Iterator[None]:
    """Shows what a layer gives, wherever in a nested model it is called from."""
    call = layer.call

    def shown(*arguments: Any, **options: Any) -> Any:
        output = call(*arguments, **options)
        if hasattr(output, "shape"):
            see(output)
        return output

    layer.call = shown
    try:
        yield
    finally:
        del layer.call
