"""Answers in another codec than the published one: maps of nets of coordinates, other maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.codecs import Codec, Coordinates
from kfkd.errors import KfkdError
from kfkd.lazy import keras

if TYPE_CHECKING:
    from keras import Model

    from kfkd.registry import Entry

_FILTERS, _KERNEL = 128, 4


def check_codec(found: Entry, codec: Codec, image: tuple[int, ...]) -> None:
    """Refuses a codec in which an entry's net cannot answer.

    Args:
        found: the entry; dense layers of a net of coordinates give way to a head of maps, a net of
            maps keeps their size.
        codec: what it is to answer with.
        image: (h, w, c) of what it looks at.

    Raises:
        KfkdError: saying what it answers with and what the codec wants.
    """
    if isinstance(found.codec, Coordinates) and not isinstance(codec, Coordinates):
        return
    own, wanted = (c.output_shape(c.outputs(1), image) for c in (found.codec, codec))
    if own != wanted:
        raise KfkdError(
            f"{found.name} answers with {_sides(own)} numbers a keypoint, the codec {codec} wants "
            f"{_sides(wanted)}"
        )


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def with_maps(model: Model, size: tuple[int, int], maps: int) -> Model:
    """A net of coordinates with a head of maps in the place of its dense layers.

    After Xiao et al., "Simple baselines for human pose estimation and tracking" (2018), with half
    as many filters: transposed convolutions double the net's last maps until the next one would
    make them too large; what is lacking then is interpolated.

    Args:
        model: uncompiled, with dense layers on convolutions' maps.
        size: (h, w) of the answer in cells.
        maps: how many.

    Returns:
        A model of the same input whose outputs are (h, w, maps).

    Raises:
        KfkdError: when its dense layers are not on maps.
    """
    layers, x = keras.layers, _last_maps(model)
    while 2 * x.shape[1] <= size[0] and 2 * x.shape[2] <= size[1]:
        deconvolution = {"strides": 2, "padding": "same", "use_bias": False}
        x = layers.Conv2DTranspose(_FILTERS, _KERNEL, **deconvolution)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    if tuple(x.shape[1:3]) != tuple(size):
        x = layers.Resizing(*size)(x)
    # Float32 whatever the precision: a peak between cells needs more than bfloat16's eight bits.
    x = layers.Conv2D(maps, 1, dtype="float32", name="maps")(x)
    return keras.Model(model.input, x, name=model.name)


def with_scores(model: Model) -> Model:
    """A net of maps whose last layer is left without its activation, if it has one.

    The softmax of maps that a sigmoid keeps in [0, 1] would hardly differ from cell to cell.
    Only a last layer's own `activation` is looked at: that of a convolution, as the zoo's nets end,
    or of an `Activation`. Maps that are bounded before it (under a resizing, inside of a model that
    is the last layer) or by a layer without that word (`Softmax`) stay so.

    Args:
        model: uncompiled, just built: the layer's weights are drawn anew.

    Returns:
        The model itself, or one of the same layers but the last.
    """
    last = model.layers[-1]
    if getattr(last, "activation", None) in (None, keras.activations.linear):
        return model
    layer = type(last).from_config({**last.get_config(), "activation": None})
    return keras.Model(model.input, layer(last.input), name=model.name)


def _last_maps(model: Model) -> Any:
    """What the last layer that flattens or averages maps away is given."""
    layers = keras.layers
    kinds = (layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
    for layer in reversed(model.layers):
        if isinstance(layer, kinds) and len(layer.input.shape) == 4:
            return layer.input
    raise KfkdError(f"{model.name} has no maps under its dense layers for a head of maps")
