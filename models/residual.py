"""Residual nets in torchvision's layout, under its layer names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kfkd.lazy import keras
from kfkd.models.blocks import activated, conv_norm, coordinates, dense_dropout, unit_pixels
from kfkd.models.options import widened
from kfkd.models.plain import Shape
from kfkd.models.torch_weights import fill_from_torch

if TYPE_CHECKING:
    from keras import Model

Block = Callable[[Any, int, int, str, str], Any]

_IMAGENET: tuple[tuple[float, ...], ...] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_IMAGENET_GREY: tuple[tuple[float, ...], ...] = ((0.449,), (0.226,))


def resnet(
    name: str,
    outputs: int,
    input_shape: Shape,
    block: Block,
    repeats: tuple[int, ...],
    weights: str | None = None,
    stem: int = 7,
    *,
    width: float = 1.0,
    deeper: int = 0,
    units: int = 0,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """A residual net under one dense layer.

    After He et al., "Deep residual learning for image recognition" (2015), as torchvision has it:
    a step of 2 lies in a bottleneck's 3×3 convolution.

    Args:
        name: the model's.
        outputs: how many coordinates.
        input_shape: (h, w, c), pixels 0–255.
        block: of which the stages are made.
        repeats: blocks in each stage.
        weights: file of ImageNet's weights, see `kfkd.models.torch_weights`; None = random ones.
        stem: kernel of the first convolution.
        width, deeper, units, dropout, activation: see `kfkd.models.options`; ImageNet's weights
            want width and depth as they are, and were learned with ReLUs.

    Returns:
        An uncompiled model; its outputs are as the entry's codec says.

    Raises:
        WeightsError: when there is no such file; it says how to get it.
        DataError: when the file does not hold this net's weights.
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    first = widened(64, width)
    x = conv_norm(_normalised(image), first, stem, strides=2, names=("conv1", "bn1"))
    # After a ReLU the zeros never win the maximum; after others they may, at the border.
    x = layers.ZeroPadding2D(1)(activated(x, activation))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for stage, count in enumerate(repeats):
        for number in range(count + deeper):
            step = 2 if stage and not number else 1
            x = block(x, first * 2**stage, step, f"layer{stage + 1}.{number}", activation)
    x = layers.GlobalAveragePooling2D()(x)
    x = dense_dropout(x, units, "relu", dropout)
    model = keras.Model(image, coordinates(x, outputs), name=name)
    if weights is not None:
        fill_from_torch(model, weights, skip=() if stem == 7 else ("conv1",))
    return model


def _normalised(image: Any) -> Any:
    """ImageNet's mean and spread; their averages over the colours where there are not three."""
    mean, spread = _IMAGENET if image.shape[-1] == 3 else _IMAGENET_GREY
    variance = tuple(s**2 for s in spread)
    normalised = keras.layers.Normalization(mean=mean, variance=variance, name="imagenet_pixels")
    return normalised(unit_pixels(image))


def basic(x: Any, width: int, step: int, name: str, activation: str = "relu") -> Any:
    """Two 3×3 convolutions of `width` filters, the first one of step `step`."""
    kernels = ((3, width, step), (3, width, 1))
    return _residual(x, kernels, name, activation)


def bottleneck(x: Any, width: int, step: int, name: str, activation: str = "relu") -> Any:
    """Convolutions of 1×1, 3×3 and 1×1 to four times `width` filters, the second of step `step`."""
    kernels = ((1, width, 1), (3, width, step), (1, 4 * width, 1))
    return _residual(x, kernels, name, activation)


def _residual(x: Any, kernels: tuple[tuple[int, int, int], ...], name: str, activation: str) -> Any:
    """Convolutions (kernel, filters, step) beside a short cut, and the activations between them."""
    short_cut = x
    step, width = max(k[2] for k in kernels), kernels[-1][1]
    for i, (kernel, filters, stride) in enumerate(kernels, 1):
        x = activated(x, activation) if i > 1 else x
        names = (f"{name}.conv{i}", f"{name}.bn{i}")
        x = conv_norm(x, filters, kernel, strides=stride, names=names)
    if step > 1 or short_cut.shape[-1] != width:
        names = (f"{name}.downsample.0", f"{name}.downsample.1")
        short_cut = conv_norm(short_cut, width, 1, strides=step, names=names)
    return activated(keras.layers.Add()([x, short_cut]), activation)
