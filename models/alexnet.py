"""The study's AlexNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfkd.lazy import keras
from kfkd.models.blocks import conv_relu, coordinates, hidden
from kfkd.models.options import widened
from kfkd.registry import Recipe, register

if TYPE_CHECKING:
    from keras import Model


@register(
    family="alexnet",
    params={30: 8_299_998, 8: 8_255_976, 22: 8_283_990},
    recipe=Recipe(loss="rmse", batch_size=10, epochs=50, validation=0.2),
    published={
        "private": 3.81822,
        "public": 4.01989,
        "private, 30 outputs": 4.23367,
        "public, 30 outputs": 4.28248,
    },
    source="Kaggle study, AlexNet on split data",
    mistakes=(
        "Its scores are those of the mean face (3.87): it learned almost nothing; raw pixels, no "
        "normalisation, the root of the batch error as loss.",
    ),
)
def alexnet(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    width: float = 1.0,
    deeper: int = 0,
    units: int = 2000,
    dropout: float = 0.5,
    activation: str = "relu",
) -> Model:
    """AlexNet for 96×96 pixels, five convolutions and two dense layers of 2000.

    After Krizhevsky et al., "ImageNet classification with deep convolutional neural networks"
    (2012). The study's second dense layer is linear in the nets for the subsets and a ReLU in the
    one for all 30 coordinates; so here.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        width, deeper, units, dropout, activation: see `kfkd.models.options`; `deeper` is of the
            last stage.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    wide = widened(96, width)
    x = conv_relu(image, wide, 11, strides=4, padding="valid", activation=activation)
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = conv_relu(x, widened(256, width), 5, activation=activation)
    x = layers.MaxPooling2D(3, strides=2)(x)
    for filters in (384, 384, *(256,) * (1 + deeper)):
        x = conv_relu(x, widened(filters, width), activation=activation)
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = layers.Flatten()(layers.Dropout(dropout)(x))
    if units:  # else the dropout above is the one
        second = "relu" if outputs == 30 else None
        x = hidden(x, (units, "relu", dropout), (units, second, 0.0))
    return keras.Model(image, coordinates(x, outputs), name="alexnet")
