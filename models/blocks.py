"""Blocks that the families share: functions from tensor to tensor."""

from __future__ import annotations

from typing import Any

from kfkd.lazy import keras


def unit_pixels(image: Any) -> Any:
    """Pixels 0–255 scaled to [0, 1]."""
    return keras.layers.Rescaling(1 / 255, name="unit_pixels")(image)


def standardised(image: Any) -> Any:
    """Each image's own pixels with mean 0 and deviation 1, so that dark ones are as good as any."""
    ops = keras.ops
    x = keras.layers.Rescaling(1 / 255, dtype="float32", name="unit_pixels")(image)
    mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
    spread = ops.sqrt(ops.mean(ops.square(x - mean), axis=(1, 2, 3), keepdims=True) + 1e-4)
    return (x - mean) / spread


def three_channels(image: Any) -> Any:
    """Grey pictures as red, green and blue alike; colour stays as it is."""
    if image.shape[-1] != 1:
        return image
    return keras.layers.Concatenate(name="rgb")([image] * 3)


def with_places(x: Any) -> Any:
    """Two channels more, a pixel's column and row as numbers from -1 to 1.

    After Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv
    solution" (2018): left and right eye look alike and differ in where they are.
    """
    ops = keras.ops
    ones = ops.ones_like(x[..., :1])
    places = [ops.cumsum(ones, axis=axis) * (2 / x.shape[axis]) - 1 for axis in (2, 1)]
    return keras.layers.Concatenate(name="with_places")([x, *places])


def conv_relu(
    x: Any,
    filters: int,
    kernel: int = 3,
    *,
    padding: str = "same",
    strides: int = 1,
    activation: str = "relu",
) -> Any:
    """Convolution and ReLU, or another activation."""
    return keras.layers.Conv2D(
        filters, kernel, strides=strides, padding=padding, activation=activation
    )(x)


def conv_relu_norm(
    x: Any, filters: int, kernel: int = 3, *, padding: str = "same", activation: str = "relu"
) -> Any:
    """Convolution, ReLU or another activation, then batch normalisation: the study's order."""
    x = conv_relu(x, filters, kernel, padding=padding, activation=activation)
    return keras.layers.BatchNormalization()(x)


def conv_leaky_norm(
    x: Any, filters: int, kernel: int = 3, *, slope: float = 0.1, activation: str = "leaky_relu"
) -> Any:
    """Convolution without bias, leaky ReLU or another activation, then batch normalisation."""
    layers = keras.layers
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x)
    leaky = activation == "leaky_relu"
    x = (layers.LeakyReLU(negative_slope=slope) if leaky else layers.Activation(activation))(x)
    return layers.BatchNormalization()(x)


def conv_norm(
    x: Any, filters: int, kernel: int = 3, *, strides: int = 1, names: tuple[str | None, ...] = ()
) -> Any:
    """Convolution without bias, padded alike on all sides, then batch norm: PyTorch's layout.

    Args:
        x: (n, h, w, c).
        filters: of the convolution.
        kernel: its side, odd.
        strides: its step.
        names: of the convolution and of the batch normalisation; () = Keras' own.
    """
    layers, (first, second) = keras.layers, names or (None, None)
    padding = "same"
    if strides > 1 and kernel > 1:
        # Keras' own "same" pads on one side only where a step of 2 meets an even size.
        padding, x = "valid", layers.ZeroPadding2D(kernel // 2)(x)
    # Weights as torchvision draws them; momentum and epsilon are PyTorch's.
    drawn = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    settings = {"use_bias": False, "kernel_initializer": drawn, "name": first}
    x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, **settings)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=second)(x)


def activated(x: Any, activation: str = "relu") -> Any:
    """A ReLU, or another activation by its Keras name, as a layer of its own."""
    layers = keras.layers
    return (layers.ReLU() if activation == "relu" else layers.Activation(activation))(x)


def dense_dropout(x: Any, units: int, activation: str | None, dropout: float) -> Any:
    """Dense layer followed by dropout, where there is any of either."""
    x = keras.layers.Dense(units, activation=activation)(x) if units else x
    return keras.layers.Dropout(dropout)(x) if dropout else x


def hidden(x: Any, *dense: tuple[int, str | None, float]) -> Any:
    """Dense layers one after the other; where there are none, the first one's dropout alone.

    Args:
        x: (n, features).
        *dense: units, activation and dropout of each. Without units of the first one there is none
            of the others either; else each has one unit at the least.
    """
    (first, _, alone), *_ = dense
    if not first:
        return dense_dropout(x, 0, None, alone)
    for units, activation, dropout in dense:
        x = dense_dropout(x, max(1, units), activation, dropout)
    return x


def channel_dropout(x: Any, dropout: float) -> Any:
    """Whole channels of maps left out in training, where any are.

    After Tompson et al., "Efficient object localization using convolutional networks" (2015): a
    pixel's neighbours would tell what it was.
    """
    return keras.layers.SpatialDropout2D(dropout)(x) if dropout else x


def coordinates(x: Any, outputs: int) -> Any:
    """Linear output in float32 whatever the precision: bfloat16 steps are 0.5 px at 96 px."""
    return keras.layers.Dense(outputs, dtype="float32", name="coordinates")(x)
