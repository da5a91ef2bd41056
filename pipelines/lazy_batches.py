"""Batches of lazy images: decoded in tf.data a few at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.lazy import keras

if TYPE_CHECKING:
    import tensorflow as tf

AHEAD = 2
"""How many batches are decoded at once, and as many wait for the model."""


def gatherer(images: Any, device: str | None = "/cpu:0") -> Callable[[tf.Tensor], tf.Tensor]:
    """The TensorFlow function from row numbers to a batch of pixels.

    Args:
        images: uint8 (n, h, w, c), held in memory once, or lazy ones, decoded for every batch.
        device: whose memory that is; None = where TensorFlow puts things, a GPU if there is one.
    """
    import tensorflow as tf

    if isinstance(images, np.ndarray):
        with tf.device(device):
            held = tf.constant(images)
        return lambda rows: tf.gather(held, rows)

    def gather(rows: tf.Tensor) -> tf.Tensor:
        batch = tf.numpy_function(lambda some: np.asarray(images[some]), [rows], tf.uint8)
        batch.set_shape((*rows.shape, *images.shape[1:]))
        return batch

    return gather


def ordered_rows(
    order: Callable[[int], np.ndarray], steps: int, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """Row numbers of every batch, drawn an epoch at a time.

    Args:
        order: the batches of an epoch, int64 (steps, batch size), a function of its number.
        steps: batches an epoch.
        seed: of the training.
        first_epoch: where to start, from 0.
        epochs: where to end.

    Returns:
        A `tf.data.Dataset` of (int64 (batch size,), int32 (2,): seed and step).
    """
    import tensorflow as tf

    size, kept = order(first_epoch).shape[1], lru_cache(maxsize=2)(order)

    def rows(step: Any) -> np.ndarray:
        epoch, place = divmod(int(step), steps)
        return kept(epoch)[place]

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.numpy_function(rows, [step], tf.int64)
        return tf.ensure_shape(found, (size,)), tf.stack([seed, tf.cast(step, tf.int32)])

    return tf.data.Dataset.range(first_epoch * steps, epochs * steps).map(batch)


@contextmanager
def telling_failures(*images: Any) -> Iterator[None]:
    """Turns what TensorFlow says of a photo that cannot be decoded into what the reader said.

    Other backends let the reader's own error through.

    Args:
        images: those of the batches that are used inside the block.

    Raises:
        DataError: naming the photo.
    """
    if keras.config.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    lazy = [some for some in images if not isinstance(some, np.ndarray)]
    before = [len(some.failures) for some in lazy]
    try:
        yield
    except tf.errors.OpError:
        for some, count in zip(lazy, before, strict=True):
            if len(some.failures) > count:
                raise some.failures[count] from None
        raise
