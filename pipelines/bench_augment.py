"""How fast mixes run inside the input pipeline, against per-image code in the same tf.data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.augment import Mix
from kfkd.codecs import Coordinates
from kfkd.faces import FaceSet
from kfkd.pipelines.albumentations_mix import albumentations_mix
from kfkd.pipelines.batches import epoch_order, training_batches
from kfkd.pipelines.per_image_augment import PerImage
from kfkd.progress import say

if TYPE_CHECKING:
    import tensorflow as tf

    One = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_WARM = 8


def pipeline_rates(
    mixes: Mapping[str, Mix],
    faces: FaceSet,
    batch_size: int = 50,
    steps: int = 60,
    rounds: int = 3,
    subset: str = "all",
    quiet: bool = False,
) -> dict[str, dict[str, list[float]]]:
    """Images a second of whole input pipelines, batched and per image, in turns.

    All gather, augment, encode and prefetch in tf.data with two threads.

    Args:
        mixes: by name.
        faces: what is augmented.
        batch_size: images a batch.
        steps: timed batches a round.
        rounds: how often; ways of doing it take turns.
        subset: keypoints that are encoded.
        quiet: no progress.

    Returns:
        For each mix, by way, a rate for each round. The ways: "pipeline" is ours, "numpy_opencv"
        calls per-image code for each image, "numpy_opencv_loop" for each batch, "albumentations"
        is there where the package is.
    """
    ways = {name: _ways(mix, faces, batch_size, subset) for name, mix in mixes.items()}
    rates: dict[str, dict[str, list[float]]] = {n: {w: [] for w in ways[n]} for n in ways}
    epochs = -(-(_WARM + steps) * batch_size // len(faces)) + 1
    for number in range(1, rounds + 1):
        for name, kinds in ways.items():
            for kind, batches in kinds.items():
                rate = batch_size * batches_per_s(batches(epochs), steps)
                rates[name][kind].append(rate)
                say(f"round {number}, {name}, {kind}: {rate:.0f} images/s", quiet)
    return rates


def batches_per_s(batches: Iterable[Any], steps: int) -> float:
    """Batches a second, once a pipeline has started and compiled.

    Args:
        batches: the pipeline, of at least 8 more than `steps`.
        steps: how many are timed.
    """
    came = iter(batches)
    for _ in range(_WARM):
        next(came)
    began = time.perf_counter()
    for _ in range(steps):
        next(came)
    return steps / (time.perf_counter() - began)


def _ways(
    mix: Mix, faces: FaceSet, batch_size: int, subset: str
) -> dict[str, Callable[[int], tf.data.Dataset]]:
    def ours(epochs: int) -> tf.data.Dataset:
        bound = mix.bind(faces.skeleton)
        return training_batches(faces, batch_size, subset=subset, epochs=epochs, augment=bound)

    def called(one: One, at_once: int = 1) -> Callable[[int], tf.data.Dataset]:
        return lambda epochs: called_batches(faces, one, batch_size, subset, epochs, at_once)

    own = PerImage(mix, faces.skeleton)
    ways = {
        "pipeline": ours,
        "numpy_opencv": called(own),
        "numpy_opencv_loop": called(own, min(batch_size, len(faces))),
    }
    theirs = albumentations_mix(mix, faces.images.shape[1:3])
    return ways if theirs is None else {**ways, "albumentations": called(theirs)}


def called_batches(
    faces: FaceSet,
    one: One,
    batch_size: int,
    subset: str = "all",
    epochs: int = 1,
    at_once: int = 1,
) -> tf.data.Dataset:
    """Batches of images that `tf.numpy_function` augments one by one, as many calls as cores.

    Args:
        faces: rows to learn from.
        one: function of an image and its keypoints.
        batch_size: images a batch.
        subset: keypoints that are encoded.
        epochs: how many.
        at_once: images a call, a divisor of the batch size; usually 1.

    Returns:
        As `training_batches`.
    """
    import tensorflow as tf

    size, codec = min(batch_size, len(faces)), Coordinates()
    orders = [epoch_order(len(faces), size, 0, epoch) for epoch in range(epochs)]
    chosen = list(faces.skeleton.subset(subset))
    kinds = (tf.uint8, tf.float32)

    def many(rows: np.ndarray) -> list[np.ndarray]:
        made = [one(faces.images[row], faces.keypoints[row]) for row in rows]
        return [np.stack(part) for part in zip(*made, strict=True)]

    def finish(images: tf.Tensor, points: tf.Tensor) -> tuple[tf.Tensor, Any]:
        images = tf.reshape(images, (-1, *faces.images.shape[1:]))
        points = tf.reshape(points, (-1, *faces.keypoints.shape[1:]))
        return images, codec.encode(tf.gather(points, chosen, axis=1))

    options = tf.data.Options()
    options.threading.private_threadpool_size = 2
    with tf.device("/cpu:0"):
        rows = tf.data.Dataset.from_tensor_slices(np.concatenate(orders).reshape(-1, at_once))
        images = rows.map(
            lambda rows: tf.numpy_function(many, [rows], kinds), num_parallel_calls=tf.data.AUTOTUNE
        )
        batches = images.batch(size // at_once).map(finish)
        return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
