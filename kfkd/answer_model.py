"""A run's model with its codec behind it, as one compiled graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kfkd.codecs import Codec
from kfkd.float32 import fastest_numbers
from kfkd.integral import Integral


class AnswerModel(keras.Model):
    """uint8 images (n, h, w, c) → float32 (n, p, 4) for p points: x, y, doubt, and 1 or 0.

    The last number says whether the model's outputs for the image are finite; the doubt is NaN
    where the codec has none. Decoded outside the graph a single face would take twice as long, and
    maps would have to come back from the device.

    Args:
        model: the net.
        codec: what its outputs mean.
    """

    def __init__(self, model: keras.Model, codec: Codec) -> None:
        super().__init__(name="answers", dtype="float32")
        self.net, self.codec = model, codec

    def call(self, images: Any) -> Any:
        """What the net answers, decoded."""
        ops = keras.ops
        with fastest_numbers(self.net):
            outputs = ops.cast(self.net(images, training=False), "float32")
        numbers = ops.reshape(outputs, (-1, int(np.prod(outputs.shape[1:]))))
        finite = ops.cast(ops.all(ops.isfinite(numbers), axis=1), "float32")
        points = ops.cast(self.codec.decode(outputs), "float32")
        told = ops.ones_like(points[..., :1]) * ops.reshape(finite, (-1, 1, 1))
        return ops.concatenate([with_doubts(points, outputs, self.codec, np.nan), told], axis=-1)


def with_doubts(points: Any, outputs: Any, codec: Codec, unknown: float) -> Any:
    """Points with how much their codec doubts them.

    Args:
        points: (n, p, 2) in pixels, decoded from the outputs.
        outputs: of a model.
        codec: what they mean.
        unknown: the doubt of a codec that cannot tell.

    Returns:
        Tensor (n, p, 3).
    """
    ops = keras.ops
    if isinstance(codec, Integral):
        doubts = ops.expand_dims(codec.spread(outputs), -1)
    else:
        doubts = ops.full_like(points[..., :1], unknown)
    return ops.concatenate([points, doubts], axis=-1)
