"""Plain convolutional nets as the course reports have them: what their files share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfkd.lazy import keras
from kfkd.models.blocks import conv_relu, coordinates, unit_pixels
from kfkd.registry import Recipe

if TYPE_CHECKING:
    from keras import Model

Shape = tuple[int, int, int]

RECIPE = Recipe(batch_size=4, epochs=25, validation=0.2)

OPEN = (
    "Reports no error on its own. Targets as shares of width and height and pixels in [0, 1] are "
)
OPEN += "ours, as are 25 epochs and the fifth of the persons held out."


def plain_net(
    name: str,
    outputs: int,
    input_shape: Shape,
    convolutions: tuple[tuple[int, int, str, bool], ...],
    units: int,
    dropout: float = 0.0,
) -> Model:
    """Convolutions with ReLUs and max-pools under one dense layer.

    Args:
        name: the model's.
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        convolutions: filters, kernel, padding, and whether a 2×2 max-pool follows; where a small
            image has left one cell, none does.
        units: of the dense layer, with a ReLU.
        dropout: share of its units left out in training.

    Returns:
        An uncompiled model; its outputs are as the entry's codec says.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = unit_pixels(image)
    for filters, kernel, padding, pooled in convolutions:
        x = conv_relu(x, filters, kernel, padding=padding)
        if pooled and min(x.shape[1:3]) > 1:
            x = layers.MaxPooling2D()(x)
    x = layers.Dense(units, activation="relu")(layers.Flatten()(x))
    if dropout:
        x = layers.Dropout(dropout)(x)
    return keras.Model(image, coordinates(x, outputs), name=name)
