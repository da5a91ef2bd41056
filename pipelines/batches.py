"""From a `FaceSet` to batches: order → gather → augment → encode → prefetch.

The uint8 set is held once in memory, which is the cache (sets of photos too large for it are
decoded batch by batch); a shuffled epoch is a list of row
numbers, a function of seed and epoch alone, so training can go on from any epoch exactly as if it
had never stopped. Pixels stay uint8 until the device has them. Under TensorFlow all this is
tf.data; under other backends `kfkd.pipelines.array_batches` makes the same batches on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.augment.applying import Augment
from kfkd.codecs import Codec, Coordinates
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.pipelines.lazy_batches import AHEAD, gatherer, ordered_rows

if TYPE_CHECKING:
    import tensorflow as tf

    Hook = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def rows_for(faces: FaceSet, subset: str, drop_incomplete: bool = False) -> np.ndarray:
    """Rows that can teach a subset: those with a label of it.

    Args:
        faces: the set.
        subset: "dense", "sparse" or "all".
        drop_incomplete: keep only rows with every label of the subset, as the study did.

    Returns:
        Ascending row indices.
    """
    labels = faces.labelled[:, list(faces.skeleton.subset(subset))]
    return np.flatnonzero(labels.all(axis=(1, 2)) if drop_incomplete else labels.any(axis=(1, 2)))


def epoch_order(n: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffled batches of one epoch.

    Every row comes at least once; the last batch is filled up with the epoch's first rows, so that
    all batches have one shape.

    Args:
        n: rows.
        batch_size: rows a batch.
        seed: of the training.
        epoch: from 0.

    Returns:
        int64 (batches, batch_size), row numbers.
    """
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(n)
    return np.resize(order, (-(-n // batch_size), batch_size))


def ordered(faces: FaceSet, batch_size: int, seed: int) -> tuple[Callable[[int], np.ndarray], int]:
    """`epoch_order` as a function of the epoch alone, and the batches of an epoch.

    Args:
        faces: rows to learn from.
        batch_size: rows a batch; a smaller set gives smaller batches.
        seed: of the training.

    Raises:
        KfkdError: when there are no rows or the batch size is below 1.
    """
    if not len(faces) or batch_size < 1:
        raise KfkdError(
            f"training wants rows and a batch size of at least 1. Received: {len(faces)} rows, "
            f"batch_size={batch_size}"
        )
    n, size = len(faces), min(batch_size, len(faces))
    return lambda epoch: epoch_order(n, size, seed, epoch), -(-n // size)


_LISTED = 10_000_000
"""Row numbers that are drawn before a training begins; of longer ones they would take gigabytes."""


def training_batches(
    faces: FaceSet,
    batch_size: int,
    *,
    subset: str = "all",
    codec: Codec | None = None,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int = 1,
    augment: Hook | None = None,
) -> tf.data.Dataset:
    """Shuffled, augmented, encoded batches of all epochs, in static shapes.

    Args:
        faces: rows to learn from.
        batch_size: images a step; a smaller set gives smaller batches.
        subset: keypoints to learn; augmentation sees all of them, the target holds the subset.
        codec: turns keypoints into targets; None = pixels.
        seed: of order and augmentation.
        first_epoch: where to start, from 0.
        epochs: where to end.
        augment: `(images uint8 (b, h, w, c), keypoints (b, k, 2), seed int32 (2,))` → the same,
            changed; the seed is this step's own. A bound mix of `kfkd.augment` is compiled, which
            takes half the time on a CPU. None = nothing.

    Returns:
        A `tf.data.Dataset` of (images, targets), `ceil(n / batch_size)` batches an epoch; under
        other backends than TensorFlow a `keras.utils.PyDataset` of the same.

    Raises:
        KfkdError: when there are no rows or the batch size is below 1.

    Example:
        >>> from kfkd.pipelines.synthetic import synthetic_faces
        >>> images, targets = next(iter(training_batches(synthetic_faces(64), 32)))
        >>> images.shape, targets.shape
        (TensorShape([32, 96, 96, 1]), TensorShape([32, 30]))
    """
    order, steps = ordered(faces, batch_size, seed)
    if keras.config.backend() != "tensorflow":
        from kfkd.pipelines.array_batches import finisher, training_arrays

        made = finisher(codec or Coordinates(), faces.skeleton.subset(subset), augment)
        return training_arrays(faces, order, made, seed, first_epoch, epochs)
    import tensorflow as tf

    in_memory = isinstance(faces.images, np.ndarray)
    finish = batch_maker(faces, subset, codec or Coordinates(), augment)
    ahead = tf.data.AUTOTUNE if in_memory else AHEAD
    with tf.device("/cpu:0"):
        drawn = drawn_rows if in_memory else ordered_rows
        rows = drawn(order, steps, seed, first_epoch, epochs)
        batches = rows.map(finish, num_parallel_calls=ahead).prefetch(ahead)
        return batches.with_options(_own_threads())


def drawn_rows(
    order: Callable[[int], np.ndarray], steps: int, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """What `kfkd.pipelines.lazy_batches.ordered_rows` gives, all epochs listed beforehand where
    that takes little memory.
    """
    import tensorflow as tf

    if (epochs - first_epoch) * order(first_epoch).size > _LISTED:
        return ordered_rows(order, steps, seed, first_epoch, epochs)
    numbers = np.arange(first_epoch * steps, epochs * steps, dtype=np.int32)
    seeds = np.stack([np.full_like(numbers, seed), numbers], axis=1)
    orders = np.concatenate([order(epoch) for epoch in range(first_epoch, epochs)])
    return tf.data.Dataset.from_tensor_slices((orders, seeds))


def batch_maker(
    faces: FaceSet,
    subset: str,
    codec: Codec,
    augment: Hook | None,
    device: str | None = "/cpu:0",
) -> Callable[[tf.Tensor, tf.Tensor], tuple[Any, Any]]:
    """The TensorFlow function from row numbers and a step's seed to a batch.

    Args:
        faces: the set, held once.
        subset: keypoints to learn.
        codec: turns keypoints into targets.
        augment: hook of `training_batches`.
        device: where the set lies; None = where TensorFlow puts things, a GPU if there is one.
    """
    import tensorflow as tf

    gather = gatherer(faces.images, device)
    with tf.device(device):
        keypoints = tf.constant(faces.keypoints)
    chosen = list(faces.skeleton.subset(subset))
    if isinstance(augment, Augment):
        augment = _compiled(augment)

    def finish(rows: tf.Tensor, seed: tf.Tensor) -> tuple[Any, Any]:
        batch, points = gather(rows), tf.gather(keypoints, rows)
        if augment is not None:
            batch, points = augment(batch, points, seed)
        return batch, codec.targets(tf.gather(points, chosen, axis=1))

    return finish


@lru_cache(maxsize=16)
def _compiled(augment: Augment) -> Hook:
    """A mix compiled once for all trainings of a process: compiling takes seconds."""
    import tensorflow as tf

    return tf.function(augment, jit_compile=True, autograph=False)


def _own_threads() -> tf.data.Options:
    """Threads of its own: TensorFlow's shared ones may be busy with the model."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = 2
    options.deterministic = True
    return options


def evaluation_size(image: tuple[int, ...]) -> int:
    """Images a step where nothing learns: 256 of 96×96 pixels, fewer of larger ones.

    Args:
        image: (h, w, c).
    """
    return max(1, min(256, 256 * 96 * 96 // (image[0] * image[1])))


def evaluation_batches(
    faces: FaceSet, batch_size: int, *, subset: str = "all", codec: Codec | None = None
) -> tf.data.Dataset:
    """Batches in the set's own order, never augmented; the last one may be smaller.

    Args:
        faces: rows to measure on.
        batch_size: images a step.
        subset: keypoints to measure.
        codec: turns keypoints into targets; None = pixels.

    Returns:
        A `tf.data.Dataset` of (images, targets), or what `training_batches` gives for it. Where
        devices share batches, (images, targets, weights): what only fills one up has weight 0.
    """
    targets = (codec or Coordinates()).targets(
        faces.keypoints[:, list(faces.skeleton.subset(subset))]
    )
    if keras.config.backend() != "tensorflow":
        from kfkd.pipelines.array_batches import evaluation_arrays

        return evaluation_arrays(faces, batch_size, keras.ops.convert_to_numpy(targets))
    import tensorflow as tf

    from kfkd.pipelines.mirroring import replicas, shared_evaluation

    if (devices := replicas()) > 1:
        return shared_evaluation(faces.images, batch_size, np.asarray(targets), devices)
    with tf.device("/cpu:0"):
        if not isinstance(faces.images, np.ndarray):
            gather, held = gatherer(faces.images), tf.constant(np.asarray(targets))
            rows = tf.data.Dataset.range(len(faces)).batch(batch_size)
            batches = rows.map(lambda some: (gather(some), tf.gather(held, some)), AHEAD)
            return batches.prefetch(AHEAD).with_options(_own_threads())
        batches = tf.data.Dataset.from_tensor_slices((faces.images, np.asarray(targets)))
        return batches.batch(batch_size).prefetch(tf.data.AUTOTUNE)
