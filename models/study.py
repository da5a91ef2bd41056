"""The study's own nets: the small one of its augmentation study and its final six."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kfkd.lazy import keras
from kfkd.models.blocks import (
    conv_leaky_norm,
    conv_relu_norm,
    coordinates,
    dense_dropout,
    unit_pixels,
)
from kfkd.models.options import deepened, options_of, widened
from kfkd.registry import Plateau, Recipe, register

if TYPE_CHECKING:
    from keras import Model

_WIDTHS = (32, 64, 128, 256, 512)
_FINAL = Recipe(
    batch_size=50,
    epochs=100,
    early_stopping=15,
    restore_best=True,
    plateau=Plateau(factor=0.4, patience=4, min_learning_rate=1e-5),
    augment="study_4x",
    copies=True,
)
_FINAL_MISTAKES = (
    "Trained in file order, blocks of equally transformed images; here every epoch is shuffled.",
    "Its turned images were made by cubic interpolation; ours are interpolated linearly.",
    "Published validation errors are the least mean of batch RMSEs; ours is the RMSE of all "
    "labelled values.",
)
_EQUALISED_MISTAKES = (
    *_FINAL_MISTAKES,
    "Its training images are all equalised and blurred, its validation and test images are not.",
)


def _normalised_stages(
    outputs: int,
    input_shape: tuple[int, int, int],
    *,
    repeats: int,
    name: str,
    width: float = 1.0,
    deeper: int = 0,
    units: int = 512,
    dropout: float = 0.5,
    activation: str = "relu",
) -> Model:
    image = keras.Input(input_shape, name="image")
    x = unit_pixels(image)
    for filters in _WIDTHS:
        for number in range(repeats + deeper):
            padding = "valid" if filters == 512 and number < repeats else "same"
            wide = widened(filters, width)
            x = conv_relu_norm(x, wide, padding=padding, activation=activation)
        x = keras.layers.MaxPooling2D()(x)
    x = dense_dropout(keras.layers.Flatten()(x), units, None, dropout)
    return keras.Model(image, coordinates(x, outputs), name=name)


def _leaky_stages(
    outputs: int,
    input_shape: tuple[int, int, int],
    *,
    dense: str | None,
    name: str,
    width: float = 1.0,
    deeper: int = 0,
    units: int = 512,
    dropout: float = 0.1,
    activation: str = "leaky_relu",
) -> Model:
    image = keras.Input(input_shape, name="image")
    x = unit_pixels(image)
    for filters in _WIDTHS:
        for _ in range(2 + deeper):
            x = conv_leaky_norm(x, widened(filters, width), activation=activation)
        x = keras.layers.MaxPooling2D()(x)
    x = dense_dropout(keras.layers.Flatten()(x), units, dense, dropout)
    return keras.Model(image, coordinates(x, outputs), name=name)


@register(
    family="study",
    params={8: 1_731_338, 22: 1_732_752},
    recipe=Recipe(batch_size=50, epochs=50, early_stopping=15, restore_best=True, validation=0.2),
    source="Kaggle study, augmentation comparison",
    published={"validation dense": 3.6305, "validation sparse": 3.0038},
    mistakes=(
        "Augmented copies were made before the split, so copies of a face stood on both sides; "
        "here the split comes first.",
        "98 % of its weights are one linear layer on a map of two channels.",
    ),
)
def simple_cnn(
    outputs: int,
    input_shape: tuple[int, int, int] = (96, 96, 1),
    width: float = 1.0,
    deeper: int = 0,
    units: int = 100,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """The three-convolution net (8, 4, 2 filters) of the study's augmentation comparison.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        width, deeper, units, dropout, activation: see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    image = keras.Input(input_shape, name="image")
    x, style = unit_pixels(image), {"activation": activation}
    for filters, kernel in ((8, 5), (4, 3), (2, 3)):
        x = deepened(conv_relu_norm, x, widened(filters, width), kernel, deeper=deeper, **style)
        x = keras.layers.MaxPooling2D(2, strides=1)(x)
    x = dense_dropout(keras.layers.Flatten()(x), units, None, dropout)
    return keras.Model(image, coordinates(x, outputs), name="simple_cnn")


@register(
    family="study",
    params={8: 2_625_160, 22: 2_632_342},
    recipe=_FINAL,
    published={"private": 1.80883, "public": 2.16564},
    source="Kaggle study, final model 1",
    mistakes=_FINAL_MISTAKES,
)
@options_of(_normalised_stages)
def study_model_1(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """One convolution a stage, 32 to 512 filters, with batch normalisation.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        **options: `width`, `deeper`, `units`, `dropout`, `activation`, see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    return _normalised_stages(outputs, input_shape, repeats=1, name="study_model_1", **options)


@register(
    family="study",
    params={8: 4_986_344, 22: 4_993_526},
    recipe=_FINAL,
    published={"private": 1.73005, "public": 2.12732},
    source="Kaggle study, final model 2",
    mistakes=_FINAL_MISTAKES,
)
@register(
    name="study_model_6",
    family="study",
    params={8: 4_986_344, 22: 4_993_526},
    recipe=replace(_FINAL, early_stopping=None, restore_best=False, augment="study_he_blur_rotate"),
    published={"validation dense": 2.593, "validation sparse": 1.831},
    source="Kaggle study, final model 6: model 2's net on model 5's mix, no early stopping",
    mistakes=_EQUALISED_MISTAKES,
)
@options_of(_normalised_stages)
def study_model_2(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """Two convolutions a stage, 32 to 512 filters, with batch normalisation.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        **options: `width`, `deeper`, `units`, `dropout`, `activation`, see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    return _normalised_stages(outputs, input_shape, repeats=2, name="study_model_2", **options)


@register(
    family="study",
    params={8: 7_081_512, 22: 7_088_694},
    recipe=_FINAL,
    published={"validation dense": 2.067, "validation sparse": 1.146},
    source="Kaggle study, final model 3",
    mistakes=_FINAL_MISTAKES,
)
@options_of(_leaky_stages)
def study_model_3(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """Model 2 with leaky ReLUs, no convolution bias and a ReLU in the dense layer.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        **options: `width`, `deeper`, `units`, `dropout`, `activation`, see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    return _leaky_stages(outputs, input_shape, dense="relu", name="study_model_3", **options)


@register(
    family="study",
    params={8: 7_081_512, 22: 7_088_694},
    recipe=_FINAL,
    published={"validation dense": 2.037, "validation sparse": 1.253},
    source="Kaggle study, final model 4",
    mistakes=_FINAL_MISTAKES,
)
@register(
    name="study_model_5",
    family="study",
    params={8: 7_081_512, 22: 7_088_694},
    recipe=replace(_FINAL, augment="study_he_blur_rotate"),
    published={"private": 2.02078, "public": 2.30053},
    source="Kaggle study, final model 5: model 4's net on equalised and blurred images",
    mistakes=(
        *_EQUALISED_MISTAKES,
        "The slides give its dense layer a ReLU; the code, and so this net, has none.",
    ),
)
@options_of(_leaky_stages)
def study_model_4(
    outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1), **options: Any
) -> Model:
    """Model 3 with a linear dense layer.

    Args:
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        **options: `width`, `deeper`, `units`, `dropout`, `activation`, see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are pixels.
    """
    return _leaky_stages(outputs, input_shape, dense=None, name="study_model_4", **options)
