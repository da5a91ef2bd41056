"""Plain convolutional nets as the course reports have them: what their files share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfkd.lazy import keras
from kfkd.models.blocks import conv_relu, coordinates, dense_dropout, unit_pixels
from kfkd.models.options import deepened, widened
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
    *,
    width: float = 1.0,
    deeper: int = 0,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """Convolutions with ReLUs and max-pools under one dense layer.

    Args:
        name: the model's.
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        convolutions: filters, kernel, padding, and whether a 2×2 max-pool follows; where a small
            image has left one cell, none does.
        units: of the dense layer, with a ReLU.
        width, deeper, dropout, activation: see `kfkd.models.options`; a stage is a convolution.

    Returns:
        An uncompiled model; its outputs are as the entry's codec says.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = unit_pixels(image)
    for filters, kernel, padding, pooled in convolutions:
        wide, style = widened(filters, width), {"padding": padding, "activation": activation}
        x = deepened(conv_relu, x, wide, kernel, deeper=deeper, **style)
        if pooled and min(x.shape[1:3]) > 1:
            x = layers.MaxPooling2D()(x)
    x = dense_dropout(layers.Flatten()(x), units, "relu", dropout)
    return keras.Model(image, coordinates(x, outputs), name=name)
