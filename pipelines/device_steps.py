"""Training steps that make their own batches: TensorFlow with one GPU, the set in its memory.

tf.data works on the host alone. Where a GPU trains, the host sends a step's row numbers and seed, a
few hundred bytes; gathering, augmentation and encoding are compiled into the step itself. Order and
seeds are those of `kfkd.pipelines.batches`, and so are the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.codecs import Codec, Coordinates
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.pipelines.batches import batch_maker, drawn_rows, ordered, training_batches
from kfkd.pipelines.fused_norms import fused_norms
from kfkd.pipelines.lazy_batches import AHEAD

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class DeviceSteps:
    """Batches that a training step makes on its device.

    Args:
        rows: a `tf.data.Dataset` of (row numbers of a batch, seed of its step).
        make: from these to (images, targets).
    """

    rows: tf.data.Dataset
    make: Callable[[tf.Tensor, tf.Tensor], tuple[Any, Any]]


def training_steps(
    faces: FaceSet,
    batch_size: int,
    *,
    subset: str = "all",
    codec: Codec | None = None,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int = 1,
    augment: Any = None,
) -> Any:
    """What `fitting` takes: the batches of `kfkd.pipelines.batches.training_batches`, whose
    arguments these are, or `DeviceSteps` where the device can make them itself.
    """
    if not (isinstance(faces.images, np.ndarray) and alone_on_a_gpu()):
        return training_batches(
            faces,
            batch_size,
            subset=subset,
            codec=codec,
            seed=seed,
            first_epoch=first_epoch,
            epochs=epochs,
            augment=augment,
        )
    order, steps = ordered(faces, batch_size, seed)
    make = batch_maker(faces, subset, codec or Coordinates(), augment, device=None)
    return DeviceSteps(drawn_rows(order, steps, seed, first_epoch, epochs).prefetch(AHEAD), make)


def alone_on_a_gpu() -> bool:
    """Whether TensorFlow trains, on one GPU."""
    if keras.config.backend() != "tensorflow":
        return False
    import tensorflow as tf

    from kfkd.pipelines.mirroring import replicas

    return replicas() == 1 and bool(tf.config.list_logical_devices("GPU"))


@contextmanager
def fitting(model: keras.Model, steps: Any) -> Iterator[Any]:
    """Has a model's steps run as fast as they can inside the block: batch normalisations fused on
    a processor, batches made by the steps themselves on a GPU.

    Args:
        model: compiled.
        steps: of `training_steps`.

    Yields:
        What `model.fit` takes.
    """
    if not isinstance(steps, DeviceSteps):
        with fused_norms(model):
            yield steps
        return
    usual = model.train_step
    model.train_step = lambda drawn: usual(steps.make(*drawn))
    model.train_function = None  # it has the old step in it
    try:
        yield steps.rows
    finally:
        del model.train_step
        model.train_function = None


def one_batch(steps: Any, count: int) -> Any:
    """The first batch over and over: what trains without an input pipeline.

    Args:
        steps: of `training_steps`.
        count: how often.
    """
    if keras.config.backend() != "tensorflow":
        from kfkd.pipelines.array_batches import DeviceBatches

        batch = steps[0]
        return DeviceBatches(count, lambda number: batch)
    if isinstance(steps, DeviceSteps):
        held = steps.make(*next(iter(steps.rows)))
        rows = steps.rows.take(1).cache().repeat(count).prefetch(AHEAD)
        return replace(steps, rows=rows, make=lambda rows, seed: held)
    return steps.take(1).cache().repeat(count).prefetch(AHEAD)
