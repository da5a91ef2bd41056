"""The study's backbones from keras.applications, for whoever has no TF-Hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kfkd.errors import UnknownName
from kfkd.lazy import keras
from kfkd.models.backbones import application
from kfkd.models.blocks import coordinates, dense_dropout, three_channels
from kfkd.models.hub import FROZEN
from kfkd.models.options import options_of
from kfkd.registry import register

if TYPE_CHECKING:
    from keras import Model

_POOLED = (
    "Global pooling drops most of where things are, as in the study: "
    "mobilenet_v2_050_spatial keeps the map."
)


def _entry(**facts: Any) -> Callable[[Any], Any]:
    shared = {"family": "applications", "recipe": FROZEN, "offline": {"weights": None}}
    source = "Keras' own ImageNet weights in place of TF-Hub's"
    return register(**{**shared, "source": source, **facts})


_NETS: dict[str, tuple[str, dict[str, float]]] = {
    "mobilenet_v2_050_keras": ("MobileNetV2", {"alpha": 0.5}),
    "mobilenet_v2_050_spatial": ("MobileNetV2", {"alpha": 0.5}),
    "mobilenet_v2_075_keras": ("MobileNetV2", {"alpha": 0.75}),
    "resnet_v2_50_keras": ("ResNet50V2", {}),
    "inception_v3_keras": ("InceptionV3", {}),
}


def transfer_model(
    name: str,
    outputs: int,
    input_shape: tuple[int, int, int],
    *,
    weights: str | None = "imagenet",
    pooling: str = "avg",
    units: int = 0,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """A net of keras.applications under a linear head.

    Args:
        name: a model of this file.
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255; one grey channel is repeated three times.
        weights: "imagenet" (downloaded once), a weights file as `application` takes, or None for
            random ones.
        pooling: "avg" = the mean over the map, as in the study; "none" = the whole map.
        units: of a dense layer below the linear one; 0 = none, as in the study.
        dropout: before the linear layer.
        activation: of the dense layer.

    Returns:
        An uncompiled model whose outputs are pixels; its layer "backbone" is frozen.

    Raises:
        WeightsError: when the weights cannot be had; it says how to get them.
        DataError: when the file does not hold this net's weights.
        UnknownName: when there is no such pooling.
    """
    ends = {"avg": keras.layers.GlobalAveragePooling2D, "none": keras.layers.Flatten}
    if pooling not in ends:
        raise UnknownName("pooling", pooling, list(ends))
    image = keras.Input(input_shape, name="image")
    # All these nets were trained on pixels in [-1, 1].
    signed = keras.layers.Rescaling(1 / 127.5, offset=-1, name="signed_pixels")
    net, settings = _NETS[name]
    backbone = application(net, (*input_shape[:2], 3), weights, **settings)
    backbone.trainable = False
    x = ends[pooling]()(backbone(signed(three_channels(image))))
    x = dense_dropout(x, units, activation, dropout)
    return keras.Model(image, coordinates(x, outputs), name=name)


@_entry(
    params={8: 716_472, 22: 734_406},
    mistakes=(_POOLED,),
)
@options_of(transfer_model)
def mobilenet_v2_050_keras(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """MobileNetV2 of half width from keras.applications, frozen.

    Options as of `transfer_model`.
    """
    return transfer_model("mobilenet_v2_050_keras", outputs, input_shape, **options)


@_entry(
    params={8: 798_392, 22: 959_686},
    source="ours",
)
@options_of(transfer_model)
def mobilenet_v2_050_spatial(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    pooling: str = "none",
    **options: Any,
) -> Model:
    """MobileNetV2 of half width, frozen, whose head sees its 3×3 map.

    Options as of `transfer_model`.
    """
    name = "mobilenet_v2_050_spatial"
    return transfer_model(name, outputs, input_shape, pooling=pooling, **options)


@_entry(
    params={8: 1_392_312, 22: 1_410_246},
    mistakes=(_POOLED,),
)
@options_of(transfer_model)
def mobilenet_v2_075_keras(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """MobileNetV2 of three quarters width from keras.applications, frozen.

    Options as of `transfer_model`.
    """
    return transfer_model("mobilenet_v2_075_keras", outputs, input_shape, **options)


@_entry(
    params={8: 23_581_192, 22: 23_609_878},
    mistakes=(_POOLED,),
)
@options_of(transfer_model)
def resnet_v2_50_keras(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """ResNet-50 v2 from keras.applications, frozen.

    Options as of `transfer_model`.
    """
    return transfer_model("resnet_v2_50_keras", outputs, input_shape, **options)


@_entry(
    params={8: 21_819_176, 22: 21_847_862},
    mistakes=(
        "keras.applications has no Inception v2; v3 stands in for it, with twice the parameters.",
        _POOLED,
    ),
)
@options_of(transfer_model)
def inception_v3_keras(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """Inception v3 from keras.applications in place of v2, frozen.

    Options as of `transfer_model`.
    """
    return transfer_model("inception_v3_keras", outputs, input_shape, **options)
