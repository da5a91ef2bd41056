"""Blocks that the families share: functions from tensor to tensor."""

from __future__ import annotations

from typing import Any

from kfkd.lazy import keras


def unit_pixels(image: Any) -> Any:
    """Pixels 0–255 scaled to [0, 1]."""
    return keras.layers.Rescaling(1 / 255, name="unit_pixels")(image)


def conv_relu(
    x: Any, filters: int, kernel: int = 3, *, padding: str = "same", strides: int = 1
) -> Any:
    """Convolution and ReLU."""
    return keras.layers.Conv2D(
        filters, kernel, strides=strides, padding=padding, activation="relu"
    )(x)


def conv_relu_norm(x: Any, filters: int, kernel: int = 3, *, padding: str = "same") -> Any:
    """Convolution, ReLU, then batch normalisation: the study's order."""
    return keras.layers.BatchNormalization()(conv_relu(x, filters, kernel, padding=padding))


def conv_leaky_norm(x: Any, filters: int, kernel: int = 3, *, slope: float = 0.1) -> Any:
    """Convolution without bias, leaky ReLU, then batch normalisation."""
    x = keras.layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x)
    x = keras.layers.LeakyReLU(negative_slope=slope)(x)
    return keras.layers.BatchNormalization()(x)


def dense_dropout(x: Any, units: int, activation: str | None, dropout: float) -> Any:
    """Dense layer followed by dropout."""
    return keras.layers.Dropout(dropout)(keras.layers.Dense(units, activation=activation)(x))


def coordinates(x: Any, outputs: int) -> Any:
    """Linear output in float32 whatever the precision: bfloat16 steps are 0.5 px at 96 px."""
    return keras.layers.Dense(outputs, dtype="float32", name="coordinates")(x)
