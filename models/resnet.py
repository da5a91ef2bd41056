"""The course reports' ResNets for 68 points, in torchvision's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.codecs import Coordinates
from kfkd.models.options import options_of
from kfkd.models.plain import Shape
from kfkd.models.residual import basic, bottleneck, resnet
from kfkd.registry import Recipe, register

if TYPE_CHECKING:
    from keras import Model

_SHARES = Coordinates(offset=-0.5, scale=224.0)
_OPEN = (
    "It does not say how faces are cut out, nor what is subtracted from pixels: targets as shares "
    "of a 224×224 crop and ImageNet's mean and spread are ours."
)
_SCORE = (
    "The class competition's error, called MSE there, is the mean absolute error in pixels of the "
    "original images, over other images than those at hand."
)


@register(
    family="resnet",
    dataset="ibug",
    subsets=("all",),
    params={136: 23_839_816},
    trainable={136: 23_786_696},
    input_shape=(224, 224, 3),
    recipe=Recipe(learning_rate=3e-4, batch_size=8, epochs=10, validation=0.1),
    codec=_SHARES,
    published={"class score": 10.68808},
    source="CS194-26 report 1, ResNet-50 on iBUG",
    mistakes=(_OPEN, "It names no number of epochs: 10 are ours.", _SCORE),
)
@options_of(resnet)
def resnet50_68(
    outputs: int,
    input_shape: Shape = (224, 224, 3),
    weights: str | None = None,
    **options: Any,
) -> Model:
    """ResNet-50 with a dense layer for the coordinates; as `resnet`.

    The count is torchvision's, without convolution biases; ResNet50 of keras.applications has
    them, and so is another net. Crops of 224×224 pixels are ours.
    """
    name, repeats = "resnet50_68", (3, 4, 6, 3)
    return resnet(name, outputs, input_shape, bottleneck, repeats, weights, **options)


@register(
    family="resnet",
    dataset="ibug",
    subsets=("all",),
    params={136: 11_248_072},
    trainable={136: 11_238_472},
    input_shape=(224, 224, 1),
    recipe=Recipe(batch_size=32, epochs=20, validation=0.1),
    codec=_SHARES,
    published={"class score": 22.02754},
    source="CS194-26 report 2, ResNet-18 on iBUG",
    mistakes=(
        _OPEN,
        "It names neither rate nor batch size nor epochs: 0.001, 32 and 20 are ours.",
        _SCORE,
    ),
)
@options_of(resnet)
def resnet18_k5(
    outputs: int,
    input_shape: Shape = (224, 224, 1),
    weights: str | None = None,
    **options: Any,
) -> Model:
    """ResNet-18 whose first convolution is 5×5; as `resnet`.

    Padding that by 2, and grey pixels, are ours.
    """
    name, repeats = "resnet18_k5", (2, 2, 2, 2)
    return resnet(name, outputs, input_shape, basic, repeats, weights, stem=5, **options)


@register(
    family="resnet",
    dataset="ibug",
    subsets=("all",),
    params={136: 11_249_608},
    trainable={136: 11_240_008},
    input_shape=(224, 224, 1),
    recipe=Recipe(batch_size=32, epochs=20, validation=0.1),
    codec=_SHARES,
    source="CS194 report 3, ResNet-18 on iBUG",
    mistakes=(
        _OPEN,
        "It names no batch size: 32 is ours.",
        "It begins with ImageNet's weights; here it begins at random where weights= names no file.",
        _SCORE,
    ),
)
@options_of(resnet)
def resnet18_gray(
    outputs: int,
    input_shape: Shape = (224, 224, 1),
    weights: str | None = None,
    **options: Any,
) -> Model:
    """ResNet-18 of one grey channel, from the ImageNet weights that are named; as `resnet`."""
    name, repeats = "resnet18_gray", (2, 2, 2, 2)
    return resnet(name, outputs, input_shape, basic, repeats, weights, **options)
