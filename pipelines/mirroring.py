"""Several devices of one machine under TensorFlow: a copy of the model on each (MirroredStrategy).

TensorFlow hands each device its part of every batch of a `tf.data.Dataset`. Three things would
make the result another than one device's, and are put right here: Keras takes the mean of each
device's loss, whatever number of labels it has; batch normalisation sees its own part alone; and
only that of the first device is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kfkd.pipelines.layer_calls import inner_layers
from kfkd.pipelines.lazy_batches import AHEAD, gatherer
from kfkd.pipelines.sharing import filled_batches, unlabelled

Loss = Callable[[Any, Any], Any]


def device_names() -> list[str]:
    """The GPUs of this machine as TensorFlow calls them, else its (virtual) processors."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.partition("device:")[2] for device in found]


@contextmanager
def mirrored(names: Sequence[str]) -> Iterator[None]:
    """Inside the block, models are made on all of these devices and train on all of them."""
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(list(names)).scope():
        yield


def whole_batch(loss: Loss, devices: int) -> Loss:
    """A loss as each device's share of what it would be on the whole batch.

    Outputs are small, so they are gathered; any loss is right then, a root of a mean as well.

    Args:
        loss: from (targets, outputs) to a number.
        devices: how many share a batch.
    """
    import tensorflow as tf

    def share(targets: Any, outputs: Any) -> Any:
        # Keras adds the devices' gradients up, and those of what was gathered.
        if (here := tf.distribute.get_replica_context()) is not None:
            targets, outputs = (gathered(a, here) for a in (targets, outputs))
        return loss(targets, outputs) / devices

    def gathered(part: Any, here: Any) -> Any:
        return tf.ensure_shape(here.all_gather(part, axis=0), (None, *part.shape[1:]))

    return share


def replicas() -> int:
    """How many devices share a batch where this is called."""
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def shared_evaluation(images: Any, batch_size: int, targets: np.ndarray, devices: int) -> Any:
    """The batches of `kfkd.pipelines.batches.evaluation_batches` where devices share them.

    Args:
        images: uint8 (n, h, w, c), in memory or lazy.
        batch_size: images a step, before they are filled up.
        targets: of all rows.
        devices: how many share a batch.

    Returns:
        A `tf.data.Dataset` of (images, targets, weights).
    """
    import tensorflow as tf

    parts = filled_batches(len(targets), batch_size, devices)
    rows, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    with tf.device("/cpu:0"):
        gather, labels = gatherer(images), unlabelled(targets[rows], weights)
        batches = tf.data.Dataset.from_tensor_slices((rows, labels, weights)).batch(
            len(parts[0][0])
        )
        made = batches.map(lambda some, y, w: (gather(some), y, w), AHEAD)
        return made.prefetch(AHEAD)


@contextmanager
def joint_statistics(model: keras.Model) -> Iterator[None]:
    """Inside the block, batch normalisation sees the batch of all devices, as one device would."""
    changed = [
        layer
        for layer in inner_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]
    for layer in changed:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in changed:
            layer.synchronized = False
