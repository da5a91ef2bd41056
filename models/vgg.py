"""The study's four VGG nets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.lazy import keras
from kfkd.models.backbones import application
from kfkd.models.blocks import (
    conv_relu,
    conv_relu_norm,
    coordinates,
    dense_dropout,
    hidden,
    three_channels,
)
from kfkd.models.options import deepened, options_of, widened
from kfkd.registry import Phase, Recipe, register

if TYPE_CHECKING:
    from keras import Model

_VGG16_REPEATS = (2, 2, 3, 3, 3)
_SPLIT_RECIPE = Recipe(batch_size=10, epochs=50, validation=0.2)
_TRIMMED_RECIPE = Recipe(loss="rmse", batch_size=5, epochs=50, validation=0.25)


def vgg_stages(
    x: Any,
    widths: tuple[int, ...],
    *,
    width: float = 1.0,
    deeper: int = 0,
    activation: str = "relu",
) -> Any:
    """VGG-16's five stages of 3×3 convolutions, each closed by a max-pool, then flattened."""
    for filters, repeats in zip(widths, _VGG16_REPEATS, strict=True):
        for _ in range(repeats + deeper):
            x = conv_relu(x, widened(filters, width), activation=activation)
        x = keras.layers.MaxPooling2D()(x)
    return keras.layers.Flatten()(x)


@register(
    family="vgg",
    subsets=("all",),
    params={30: 54_500_342},
    recipe=Recipe(loss="rmse", batch_size=5, epochs=10, validation=0.25),
    published={"validation": 4.037},
    source="Kaggle study, VGG-16",
    mistakes=("Trained on complete rows only, on raw pixels, and never submitted.",),
)
@options_of(vgg_stages)
def vgg16(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    units: int = 4096,
    dropout: float = 0.5,
    **options: Any,
) -> Model:
    """Full VGG-16 from scratch, with dense layers 4096, 4096 and 1000.

    After Simonyan and Zisserman, "Very deep convolutional networks" (2014).

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        units: of each of the first two dense layers; the third keeps its ratio to them.
        dropout: after each of these two.
        **options: `width`, `deeper`, `activation`, see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    image = keras.Input(input_shape, name="image")
    x = vgg_stages(image, (64, 128, 256, 512, 512), **options)
    wide, last = (units, "relu", dropout), (round(units * 1000 / 4096), "relu", 0.0)
    x = hidden(x, wide, wide, last)
    return keras.Model(image, coordinates(x, outputs), name="vgg16")


@register(
    family="vgg",
    subsets=("all",),
    params={30: 4_977_230},
    recipe=_TRIMMED_RECIPE,
    published={"private": 4.29732, "public": 4.35237},
    source="Kaggle study, VGG-16 with smaller filters",
    mistakes=("Its score is worse than the mean face (3.87): raw pixels, complete rows only.",),
)
@options_of(vgg_stages)
def vgg16_small(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    units: int = 1024,
    dropout: float = 0.5,
    **options: Any,
) -> Model:
    """VGG-16's layout with a quarter to half of its filters and dense layers 1024, 512 and 256.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        units: of the first dense layer; the others have a half and a quarter of them.
        dropout: after the first two dense layers.
        **options: `width`, `deeper`, `activation`, see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    image = keras.Input(input_shape, name="image")
    x = vgg_stages(image, (16, 32, 64, 128, 256), **options)
    half, quarter = (units // 2, "relu", dropout), (units // 4, "relu", 0.0)
    x = hidden(x, (units, "relu", dropout), half, quarter)
    return keras.Model(image, coordinates(x, outputs), name="vgg16_small")


@register(
    family="vgg",
    params={8: 24_822_464, 22: 24_879_822},
    recipe=_SPLIT_RECIPE,
    published={"private": 2.30058, "public": 2.62112},
    source="Kaggle study, VGG-16 condensed on split data",
    mistakes=(
        "728 filters look like a slip for 128; kept, the authors' scores are this net's.",
        "The leading zero padding comes on top of 'same' padding, so the maps are 98, 49, 24, "
        "12, 6 wide; kept.",
        "Early stopping with patience 100 in 50 epochs never fired: last epoch's weights; so here.",
    ),
)
def vgg_condensed(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    width: float = 1.0,
    deeper: int = 0,
    units: int = 4096,
    dropout: float = 0.5,
    activation: str = "relu",
) -> Model:
    """Condensed VGG-16: one convolution a stage, 64-728-256-512-1024, with batch normalisation.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        width, deeper, units, dropout, activation: see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(1)(image)
    for filters in (64, 728, 256, 512, 1024):
        padding, wide = "valid" if filters == 1024 else "same", widened(filters, width)
        style = {"padding": padding, "activation": activation}
        x = deepened(conv_relu_norm, x, wide, deeper=deeper, **style)
        x = layers.MaxPooling2D()(x)
    x = dense_dropout(layers.Flatten()(x), units, None, dropout)
    return keras.Model(image, coordinates(x, outputs), name="vgg_condensed")


@register(
    family="vgg",
    subsets=("all",),
    params={30: 15_902_302},
    recipe=Recipe(
        loss="rmse",
        batch_size=64,
        epochs=25,
        validation=0.25,
        phases=(Phase(epochs=10, unfreeze=0), Phase(epochs=15, unfreeze=5)),
    ),
    source="Kaggle study, VGG-16 transfer learning",
    published={"validation": 50.89, "validation, frozen phase": 6.722},
    mistakes=(
        "The second phase diverged (validation 50.9 px): Adam 0.001 on unfrozen layers.",
        "VGG's own pre-processing was skipped; `preprocess=True` applies it.",
    ),
)
def vgg16_transfer(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    weights: str | None = None,
    preprocess: bool = False,
    units: int = 256,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """Keras' VGG16 as a backbone with a dense head, trained frozen first, then its last layers.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255; one grey channel is repeated three times.
        weights: "imagenet", a weights file, or None for random ones.
        preprocess: subtract ImageNet's mean colours, as VGG was trained with.
        units, dropout, activation: of the dense layer.

    Returns:
        An uncompiled model whose outputs are pixels; its backbone is the layer "backbone".

    Raises:
        WeightsError: when the weights cannot be had.
        DataError: when the file does not hold the backbone's weights.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = three_channels(image)
    if preprocess:
        # Caffe's order is blue, green, red; on grey pictures only the means matter.
        x = layers.Normalization(mean=(103.939, 116.779, 123.68), variance=(1.0, 1.0, 1.0))(x)
    x = layers.Flatten()(application("VGG16", (*input_shape[:2], 3), weights)(x))
    x = dense_dropout(x, units, activation, dropout)
    return keras.Model(image, coordinates(x, outputs), name="vgg16_transfer")
