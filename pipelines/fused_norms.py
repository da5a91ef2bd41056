"""Batch normalisation as one operation of TensorFlow, where a processor trains.

Keras' layer takes mean, variance, difference, product and sum one after the other and in float32,
and each of them, forwards and backwards, goes through memory once. XLA joins them on a GPU; on a
processor nothing does, and half of a small net's training went there. TensorFlow's own operation
is the same function to rounding. Only the training step is made so: the model, its file and its
predictions are Keras' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kfkd.lazy import keras
from kfkd.pipelines.layer_calls import calling, inner_layers

if TYPE_CHECKING:
    from keras import Layer, Model

_LANES = 16
"""Channels that the operation's bfloat16 kernel takes at a time; of others it is five times slower
than of float32."""


@contextmanager
def fused_norms(model: Model) -> Iterator[None]:
    """Has a model's batch normalisations train by the fused operation inside the block.

    Nothing changes under another backend, with a GPU, or for layers that normalise over several
    devices, over other axes than the last of four, or by code of their own.

    Args:
        model: the steps that it has compiled before must not be used inside the block.
    """
    layers = filter(_plain, inner_layers(model)) if _on_a_processor() else ()
    with calling(layers, lambda layer: _fused(layer, layer.call)):
        yield


def _on_a_processor() -> bool:
    if keras.config.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def _plain(layer: Layer) -> bool:
    norm = keras.layers.BatchNormalization
    return isinstance(layer, norm) and type(layer).call is norm.call and not layer.renorm


def _fused(layer: Any, usual: Callable[..., Any]) -> Callable[..., Any]:
    """The layer's `call`, fused where it can be."""

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        learns = training and layer.trainable and not layer.synchronized and mask is None
        if not learns or len(inputs.shape) != 4 or layer.axis not in (-1, 3):
            return usual(inputs, training=training, mask=mask)
        return _normalised(layer, inputs)

    return call


def _normalised(layer: Any, inputs: Any) -> Any:
    """Normalises a batch by its own statistics, and moves the layer's towards them."""
    import tensorflow as tf

    channels, kind = inputs.shape[-1], inputs.dtype
    if kind == tf.float16 or (kind == tf.bfloat16 and channels % _LANES):
        inputs = tf.cast(inputs, tf.float32)
    found = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value if layer.scale else tf.ones(channels),
        offset=layer.beta.value if layer.center else tf.zeros(channels),
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=layer.epsilon,
        data_format="NHWC",
        is_training=True,
    )
    # The operation tells the sample's variance, by n − 1; Keras keeps the one by n.
    count = tf.cast(tf.size(inputs) // channels, tf.float32)
    variance = found.batch_variance * (tf.maximum(count - 1, 1) / count)
    for kept, new in ((layer.moving_mean, found.batch_mean), (layer.moving_variance, variance)):
        kept.assign(kept * layer.momentum + new * (1 - layer.momentum))
    return tf.cast(found.y, kind)
