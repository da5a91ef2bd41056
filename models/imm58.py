"""The course reports' nets for the 58 points of the IMM faces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kfkd.codecs import Coordinates
from kfkd.models.options import options_of
from kfkd.models.plain import OPEN, RECIPE, Shape, plain_net
from kfkd.registry import register

if TYPE_CHECKING:
    from keras import Model

# Filters, kernel, padding, and whether a max-pool follows.
_CNN6 = (
    (12, 3, "same", False),
    (24, 3, "same", True),
    (32, 3, "valid", False),
    (24, 3, "valid", True),
    (16, 3, "same", False),
    (8, 3, "same", True),
)
_CNN5 = tuple((filters, 3, "same", i < 4) for i, filters in enumerate((20, 16, 14, 13, 12)))
_FUNNEL5 = tuple(
    (filters, kernel, "same", True)
    for filters, kernel in ((12, 10), (20, 7), (25, 5), (30, 5), (32, 5))
)
_SHARES = Coordinates(offset=(-0.5, -0.5), scale=(160.0, 120.0))


@register(
    family="imm58",
    dataset="imm",
    subsets=("all",),
    params={116: 5_010_580},
    trainable={116: 5_010_580},
    input_shape=(180, 240, 3),
    recipe=replace(RECIPE, learning_rate=3e-4, augment="rotate(15)"),
    codec=Coordinates(offset=(-0.5, -0.5), scale=(240.0, 180.0)),
    source="CS194-26 report 1, 58 points",
    mistakes=(OPEN, "It does not say how far it turns the images: 15 degrees are ours."),
)
@options_of(plain_net)
def imm58_cnn6(
    outputs: int, input_shape: Shape = (180, 240, 3), units: int = 1000, **options: Any
) -> Model:
    """Six convolutions, 12 to 32 filters, and a dense layer of 1000; as `plain_net`.

    A max-pool after the second, fourth and sixth convolution is our reading: with it the dense
    layer gets the 4,872 numbers that the report gives it.
    """
    return plain_net("imm58_cnn6", outputs, input_shape, _CNN6, units, **options)


@register(
    family="imm58",
    dataset="imm",
    subsets=("all",),
    params={116: 123_149},
    trainable={116: 123_149},
    input_shape=(120, 160, 1),
    recipe=RECIPE,
    codec=_SHARES,
    source="CS194-26 report 2, 58 points",
    mistakes=(OPEN, "It names no learning rate and no batch size: 0.001 and 4 are ours."),
)
@options_of(plain_net)
def imm58_cnn5(
    outputs: int, input_shape: Shape = (120, 160, 1), units: int = 120, **options: Any
) -> Model:
    """Five convolutions, 20 to 12 filters, and a dense layer of 120; as `plain_net`.

    The report gives filters and dense layer; 120×160 grey pixels, kernels of 3, padding, the ReLUs
    and a max-pool after the first four are ours.
    """
    return plain_net("imm58_cnn5", outputs, input_shape, _CNN5, units, **options)


@register(
    family="imm58",
    dataset="imm",
    subsets=("all",),
    params={116: 366_945},
    trainable={116: 366_945},
    input_shape=(120, 160, 1),
    recipe=replace(RECIPE, augment="crop(0.9), rotate(10)"),
    codec=_SHARES,
    source="CS194 report 3, 58 points",
    mistakes=(
        OPEN,
        "It names no image size, padding, learning rate or batch size, nor how much it crops and "
        "turns: these are ours.",
    ),
)
@options_of(plain_net)
def imm58_funnel5(
    outputs: int, input_shape: Shape = (120, 160, 1), units: int = 500, **options: Any
) -> Model:
    """Five convolutions, kernels of 10, 7, 5, 5, 5, and a dense layer of 500; as `plain_net`.

    120×160 grey pixels, padding, and a max-pool after each convolution are ours.
    """
    return plain_net("imm58_funnel5", outputs, input_shape, _FUNNEL5, units, **options)
