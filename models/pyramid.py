"""Ours: a small residual pyramid that answers with maps, told who labelled a face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.codecs import Integral
from kfkd.errors import KfkdError
from kfkd.lazy import keras
from kfkd.models.blocks import activated, channel_dropout, standardised
from kfkd.models.plain import Shape
from kfkd.registry import Recipe, register
from kfkd.views import Views

if TYPE_CHECKING:
    from keras import Model

_CODEC = Integral(stride=4, margin=1, map_share=0.2)


@register(
    family="pyramid",
    subsets=("all",),
    by_source=True,
    params={19: 1_445_403},
    recipe=Recipe(
        loss="huber(2)",
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=0.05,
        batch_size=64,
        epochs=64,
        schedule="cosine",
        ema=0.998,
        augment="wide",
        views=Views(flip=True),
        second_look=True,
        centre_labels=True,
        linear_correction=True,
        smooth_correction=True,
    ),
    codec=_CODEC,
    source="ours",
)
def pyramid(
    outputs: int,
    input_shape: Shape = (96, 96, 1),
    widths: tuple[int, ...] = (24, 48, 96, 112),
    depths: tuple[int, ...] = (0, 2, 3, 2),
    decoder: tuple[int, ...] = (48, 96),
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """A residual pyramid to a sixteenth and back to a quarter of the image, and a map a keypoint.

    Args:
        outputs: how many maps.
        input_shape: (h, w, c), pixels 0–255; sides divisible by 16.
        widths: filters at a half, a quarter, an eighth and a sixteenth of the image.
        depths: residual blocks there, besides the convolution that halves.
        decoder: filters on the way back, at a quarter and at an eighth.
        dropout, activation: see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are (h / 4 + 2, w / 4 + 2, outputs): a cell more on every
        side, as the codec wants.

    Raises:
        KfkdError: when there are not as many depths as widths, and two fewer of the decoder.
    """
    if not len(depths) == len(widths) == len(decoder) + 2 > 2:
        raise KfkdError(
            "pyramid wants as many depths as widths, and two fewer of the decoder. Received: "
            f"widths={widths}, depths={depths}, decoder={decoder}"
        )
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x, levels = standardised(image), []
    for width, depth in zip(widths, depths, strict=True):
        x = _conv(x, width, strides=2, activation=activation)
        for _ in range(depth):
            x = _block(x, activation)
        levels.append(x)
    for width, lateral in zip(reversed(decoder), reversed(levels[1:-1]), strict=True):
        x = _conv(x, width, kernel=1, activation=activation)
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = layers.Add()([x, _conv(lateral, width, kernel=1, activation=None)])
        x = _block(x, activation)
    x = layers.ZeroPadding2D(_CODEC.margin)(x)
    x = channel_dropout(_conv(x, decoder[0], activation=activation), dropout)
    # Float32 whatever the precision: the mean over a map needs more than bfloat16's eight bits.
    x = layers.Conv2D(outputs, 1, dtype="float32", name="maps")(x)
    return keras.Model(image, x, name="pyramid")


def _conv(
    x: Any, filters: int, kernel: int = 3, strides: int = 1, *, activation: str | None
) -> Any:
    """Convolution without bias, batch normalisation, activation."""
    layers = keras.layers
    settings = {"use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", **settings)(x)
    x = layers.BatchNormalization(momentum=0.97)(x)
    return layers.Activation(activation)(x) if activation else x


def _block(x: Any, activation: str) -> Any:
    """Two convolutions beside a short cut."""
    filters = x.shape[-1]
    y = _conv(_conv(x, filters, activation=activation), filters, activation=None)
    return activated(keras.layers.Add()([x, y]), activation)
