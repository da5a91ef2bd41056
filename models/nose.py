"""The course reports' nets for the nose tip of the IMM faces."""

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
_CNN4 = tuple((filters, 3, "same", True) for filters in (12, 24, 32, 16))
_CNN3 = tuple((filters, 3, "same", True) for filters in (20, 16, 12))
_FUNNEL = ((12, 7, "same", True), (24, 5, "same", True), (32, 3, "same", True))
_FAN = ((12, 3, "same", True), (24, 5, "same", True), (32, 7, "same", True))

_SHARES = Coordinates(offset=(-0.5, -0.5), scale=(80.0, 60.0))
_RATE = "It names no learning rate and no batch size: 0.001 and 4 are ours."
_SIZE = "It names no image size, padding, learning rate or batch size: these are ours."


@register(
    family="nose",
    dataset="imm",
    subsets=("nose",),
    params={2: 257_522},
    trainable={2: 257_522},
    input_shape=(60, 80, 3),
    recipe=replace(RECIPE, learning_rate=1e-4),
    codec=_SHARES,
    source="CS194-26 report 1, nose tip",
    mistakes=(OPEN,),
)
@options_of(plain_net)
def nose_cnn4(
    outputs: int, input_shape: Shape = (60, 80, 3), units: int = 1000, **options: Any
) -> Model:
    """Four convolutions, 12 to 32 filters, and a dense layer of 1000; as `plain_net`."""
    return plain_net("nose_cnn4", outputs, input_shape, _CNN4, units, **options)


@register(
    family="nose",
    dataset="imm",
    subsets=("nose",),
    params={2: 105_998},
    trainable={2: 105_998},
    input_shape=(60, 80, 1),
    recipe=RECIPE,
    codec=_SHARES,
    source="CS194-26 report 2, nose tip",
    mistakes=(OPEN, _RATE),
)
@options_of(plain_net)
def nose_cnn3(
    outputs: int, input_shape: Shape = (60, 80, 1), units: int = 120, **options: Any
) -> Model:
    """Three convolutions, 20 to 12 filters, and a dense layer of 120; as `plain_net`.

    The report gives filters and dense layer; 60×80 grey pixels, kernels of 3, padding, and a ReLU
    and a 2×2 max-pool after each convolution are ours.
    """
    return plain_net("nose_cnn3", outputs, input_shape, _CNN3, units, **options)


@register(
    family="nose",
    dataset="imm",
    subsets=("nose",),
    params={2: 351_220},
    trainable={2: 351_220},
    input_shape=(60, 80, 1),
    recipe=RECIPE,
    codec=_SHARES,
    source="CS194 report 3, nose tip",
    mistakes=(OPEN, _SIZE),
)
@options_of(plain_net)
def nose_funnel(
    outputs: int, input_shape: Shape = (60, 80, 1), units: int = 150, **options: Any
) -> Model:
    """Three convolutions with kernels of 7, 5 and 3, and a dense layer of 150; as `plain_net`.

    60×80 pixels and convolutions padded "same" are ours.
    """
    return plain_net("nose_funnel", outputs, input_shape, _FUNNEL, units, **options)


@register(
    family="nose",
    dataset="imm",
    subsets=("nose",),
    params={2: 381_460},
    trainable={2: 381_460},
    input_shape=(60, 80, 1),
    recipe=RECIPE,
    codec=_SHARES,
    source="CS194 report 3, nose tip",
    mistakes=(OPEN, _SIZE),
)
@options_of(plain_net)
def nose_fan(
    outputs: int, input_shape: Shape = (60, 80, 1), units: int = 150, **options: Any
) -> Model:
    """The funnel's filters with kernels of 3, 5 and 7; as `plain_net`.

    60×80 pixels and convolutions padded "same" are ours.
    """
    return plain_net("nose_fan", outputs, input_shape, _FAN, units, **options)
