"""The study's baseline and its LeNet-5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfkd.codecs import Coordinates
from kfkd.lazy import keras
from kfkd.models.blocks import conv_relu, coordinates, dense_dropout, hidden, unit_pixels
from kfkd.models.options import deepened, widened
from kfkd.registry import Recipe, register

if TYPE_CHECKING:
    from keras import Model


@register(
    family="lenet",
    subsets=("all",),
    params={30: 2_650_930},
    recipe=Recipe(loss="rmse", batch_size=32, epochs=13, validation=0.2),
    codec=Coordinates(offset=48.0, scale=48.0),
    published={"validation": 2.71},
    source="Kaggle study, baseline",
    mistakes=(
        "The study's slide says 9.037: the root of a number that was a root already, and of the "
        "training error; its validation RMSE is 0.0564 · 48 = 2.71 px.",
        "It kept only the complete rows; here missing labels are masked.",
    ),
)
def baseline(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    width: float = 1.0,
    deeper: int = 0,
    units: int = 0,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """One convolution of ten filters and a linear layer.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        width, deeper, units, dropout, activation: see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are (pixels − 48) / 48.
    """
    image = keras.Input(input_shape, name="image")
    style = {"padding": "valid", "activation": activation}
    x = deepened(conv_relu, unit_pixels(image), widened(10, width), deeper=deeper, **style)
    x = dense_dropout(keras.layers.Flatten()(x), units, "relu", dropout)
    return keras.Model(image, coordinates(x, outputs), name="baseline")


@register(
    family="lenet",
    params={30: 21_965_926, 8: 21_964_056, 22: 21_965_246},
    recipe=Recipe(batch_size=10, epochs=50, validation=0.2),
    published={"private": 3.11456, "public": 3.21203},
    source="Kaggle study, LeNet-5 on split data",
    mistakes=(
        "Early stopping with patience 100 in 50 epochs never fired: the last epoch's weights "
        "were submitted; so here.",
        "Raw pixels 0–255 go in; kept.",
    ),
)
def lenet5(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    width: float = 1.0,
    deeper: int = 0,
    units: int = 120,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """LeNet-5 in the study's form, three 5×5 convolutions and three dense layers.

    After LeCun et al., "Gradient-based learning applied to document recognition" (1998).

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        width, deeper, units, dropout, activation: see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    style = {"padding": "valid", "activation": activation}
    x = deepened(conv_relu, image, widened(6, width), 5, deeper=deeper, **style)
    x = layers.MaxPooling2D(2, strides=1)(x)
    x = deepened(conv_relu, x, widened(16, width), 5, deeper=deeper, **style)
    x = layers.MaxPooling2D(2)(x)
    x = deepened(conv_relu, x, widened(120, width), 5, deeper=deeper, **style)
    x = layers.Flatten()(x)
    x = hidden(x, (units, "relu", dropout), (round(0.7 * units), "relu", dropout))
    return keras.Model(image, coordinates(x, outputs), name="lenet5")
