"""Batches for backends other than TensorFlow: the set lies on the device, and so does the work.

A step sends its row numbers and its seed, a few hundred bytes; gathering, augmentation and encoding
are compiled, run where the model runs, and are never waited for. Order and seeds are those of
`kfkd.pipelines.batches`, so that a training sees the same batches under every backend. Lazy images
are decoded on the host, a few batches ahead. Several devices share a batch's rows, see
`kfkd.pipelines.sharing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from kfkd.augment.applying import Augment
from kfkd.codecs import Codec
from kfkd.faces import FaceSet
from kfkd.pipelines.lazy_batches import AHEAD
from kfkd.pipelines.sharing import Sharing, filled_batches, sharing, unlabelled


class DeviceBatches(keras.utils.PyDataset):
    """Batches by number, each made when it is asked for.

    Keras hands a dataset's JAX arrays on as they are; those of other kinds it copies.

    Args:
        count: how many.
        make: from a number to (images, targets).
    """

    def __init__(self, count: int, make: Callable[[int], tuple[Any, Any]]) -> None:
        super().__init__()
        self.count, self.make = count, make

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return self.make(number)


def training_arrays(
    faces: FaceSet,
    order: Callable[[int], np.ndarray],
    finish: Callable[[Any, Any, Any], tuple[Any, Any]],
    seed: int,
    first_epoch: int,
    epochs: int,
) -> DeviceBatches:
    """What `kfkd.pipelines.batches.training_batches` gives, as arrays of the backend.

    Args:
        faces: rows to learn from.
        order: the batches of an epoch, int64 (steps, batch size), a function of its number.
        finish: of `finisher`.
        seed: of the training.
        first_epoch: where to start, from 0.
        epochs: where to end.
    """
    steps, kept = len(order(first_epoch)), lru_cache(maxsize=2)(order)
    first, count = first_epoch * steps, (epochs - first_epoch) * steps

    def rows(number: int) -> np.ndarray:
        epoch, place = divmod(first + number, steps)
        return kept(epoch)[place].astype(np.int32)

    gather, shared = _gatherer(faces, rows, count), sharing()

    def make(number: int) -> tuple[Any, Any]:
        batch = finish(*gather(number), np.array([seed, first + number], np.int32))
        return batch if shared is None else shared.for_keras(batch)

    return DeviceBatches(count, make)


def evaluation_arrays(faces: FaceSet, batch_size: int, targets: np.ndarray) -> DeviceBatches:
    """What `kfkd.pipelines.batches.evaluation_batches` gives, as arrays of the backend.

    Args:
        faces: rows to measure on.
        batch_size: images a step; the last one may be smaller.
        targets: of all rows.

    Returns:
        (images, targets), or, where devices share them, (images, targets, weights): a last batch
        that they cannot share evenly is filled up with rows of weight 0 and without a label.
    """
    if (shared := sharing()) is not None:
        return _shared_evaluation(faces.images, batch_size, targets, shared)
    parts = [slice(i, i + batch_size) for i in range(0, len(faces), batch_size)]
    tensor = keras.ops.convert_to_tensor
    if isinstance(faces.images, np.ndarray):
        held = [(tensor(faces.images[part]), tensor(targets[part])) for part in parts]
        return DeviceBatches(len(held), held.__getitem__)
    pixels = _Ahead(lambda number: np.asarray(faces.images[parts[number]]), len(parts))
    return DeviceBatches(len(parts), lambda number: (pixels(number), targets[parts[number]]))


def _shared_evaluation(
    images: Any, batch_size: int, targets: np.ndarray, shared: Sharing
) -> DeviceBatches:
    """The batches of `evaluation_arrays` where devices share them."""
    parts = filled_batches(len(targets), batch_size, shared.count)

    def make(number: int) -> tuple[Any, ...]:
        own = shared.own(len(parts[number][0]))
        rows, weights = (array[own] for array in parts[number])
        pieces = np.asarray(images[rows]), unlabelled(targets[rows], weights), weights
        return shared.for_keras(tuple(map(shared.joined, pieces)))

    if not isinstance(images, np.ndarray):
        return DeviceBatches(len(parts), _Ahead(make, len(parts)))
    held = [make(number) for number in range(len(parts))]
    return DeviceBatches(len(held), held.__getitem__)


def finisher(
    codec: Codec, chosen: Sequence[int], augment: Callable[..., Any] | None
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """The compiled function from gathered images, keypoints and a step's seed to a batch.

    A mix is compiled once for all trainings of a process, whatever the length of their sets.

    Args:
        codec: turns keypoints into targets.
        chosen: which keypoints are learned; augmentation sees all of them.
        augment: hook of `training_batches`.
    """
    made = _finisher if augment is None or isinstance(augment, Augment) else _finisher.__wrapped__
    return made(codec, tuple(chosen), augment, sharing())


@lru_cache(maxsize=16)
def _finisher(
    codec: Codec,
    chosen: tuple[int, ...],
    augment: Callable[..., Any] | None,
    shared: Sharing | None,
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    def finish(images: Any, keypoints: Any, seed: Any) -> tuple[Any, Any]:
        if augment is not None:
            images, keypoints = augment(images, keypoints, seed)
        learned = keras.ops.take(keypoints, np.array(chosen, np.int32), axis=1)
        return images, codec.targets(learned)

    return _compiled(finish, shared)


def _gatherer(
    faces: FaceSet, rows: Callable[[int], np.ndarray], count: int
) -> Callable[[int], tuple[Any, Any]]:
    """From a batch's number to its images and keypoints."""
    shared = sharing()
    if not isinstance(faces.images, np.ndarray):
        return _decoder(faces, rows, count, shared)
    both, take = (faces.images, faces.keypoints), _taker(shared)
    if shared is None:
        images, keypoints = map(keras.ops.convert_to_tensor, both)
        return lambda number: take(images, keypoints, rows(number))
    images, keypoints = (shared.put(array, shared.copies) for array in both)
    return lambda number: take(images, keypoints, shared.put(rows(number), shared.rows))


def _decoder(
    faces: FaceSet, rows: Callable[[int], np.ndarray], count: int, shared: Sharing | None
) -> Callable[[int], tuple[Any, Any]]:
    """As `_gatherer`, of lazy images; each process decodes its own rows alone."""

    def own(number: int) -> np.ndarray:
        found = rows(number)
        return found if shared is None else found[shared.own(len(found))]

    pixels = _Ahead(lambda number: np.asarray(faces.images[own(number)]), count)
    if shared is None:
        return lambda number: (pixels(number), faces.keypoints[own(number)])
    join = shared.joined
    return lambda number: (join(pixels(number)), join(faces.keypoints[own(number)]))


@lru_cache(maxsize=2)
def _taker(shared: Sharing | None) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Compiled apart from the rest: it alone depends on the set's length, and takes no time to."""
    take = keras.ops.take
    return _compiled(lambda a, b, rows: (take(a, rows, axis=0), take(b, rows, axis=0)), shared)


def _compiled(function: Callable[..., Any], shared: Sharing | None) -> Callable[..., Any]:
    if keras.config.backend() != "jax":
        return function
    import jax

    return jax.jit(function, out_shardings=None if shared is None else shared.rows)


class _Ahead:
    """A function of the batch's number whose next values are worked out beforehand.

    Args:
        function: from a number to a value.
        count: how many numbers there are.
    """

    def __init__(self, function: Callable[[int], Any], count: int) -> None:
        self.function, self.count = function, count
        self.pool, self.coming = ThreadPoolExecutor(1), dict[int, Future[Any]]()

    def __call__(self, number: int) -> Any:
        wanted = range(number, min(number + 1 + AHEAD, self.count))
        # A reader that starts again leaves what nobody asks for any more.
        self.coming = {n: made for n, made in self.coming.items() if n in wanted}
        for n in wanted:
            if n not in self.coming:
                self.coming[n] = self.pool.submit(self.function, n)
        return self.coming.pop(number).result()
