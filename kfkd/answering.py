"""What a run's models answer: points in pixels, and how much they doubt them."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from kfkd.errors import BrokenAnswer, KfkdError, RunError
from kfkd.integral import Integral
from kfkd.pipelines.batches import evaluation_size

if TYPE_CHECKING:
    from kfkd.runs import Run

_HELD = 2**26  # numbers of network outputs held at once, 256 MB


def answers(run: Run, subset: str, images: np.ndarray, batch_size: int | None) -> np.ndarray:
    """What one model answers, in the mean of its test-time views.

    Args:
        run: the model's.
        subset: of the run's subsets.
        images: uint8 (n, h, w, c).
        batch_size: images a step; None = as many as fit, fewer of large images.

    Returns:
        float32 (n, p, 3) for the p points of the model: x and y in pixels, and its doubt, the
        standard deviation along an axis in pixels; NaN where neither its codec nor several views
        tell.

    Raises:
        RunError: when the images do not fit the model, or it answers with NaN.
    """
    model = run.model(subset)
    if np.shape(images)[1:] != model.input_shape[1:]:
        raise RunError(
            f"{run.name} wants images of {model.input_shape[1:]}. Received: {np.shape(images)[1:]}"
        )
    if not len(images):
        return np.empty((0, len(run.points(subset)), 3), np.float32)
    # Maps of all images at once would not fit into memory; coordinates always do.
    size = batch_size or evaluation_size(model.input_shape[1:])
    # Lazy images come into memory in the same parts, an array's are there anyway.
    held = [model.output_shape[1:]]
    held += [] if isinstance(images, np.ndarray) else [model.input_shape[1:]]
    few = max(1, _HELD // (size * max(map(prod, held)))) * size
    parts = (np.asarray(images[i : i + few]) for i in range(0, len(images), few))
    views, mirror = run.views(subset), run.mirror(subset)
    one = partial(_answer, run, subset, size)
    return np.concatenate([views.predict(part, one, mirror) for part in parts])


def _answer(run: Run, subset: str, batch_size: int, images: np.ndarray) -> np.ndarray:
    codec, outputs = run.codec(subset), _outputs(run, subset, batch_size, images)
    finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    if broken := int(np.count_nonzero(~finite)):
        raise BrokenAnswer(f"{run.folder}: the model of {subset} fails on {broken} images: NaN")
    points = np.asarray(codec.decode(outputs), np.float32)
    if not np.isfinite(points).all():
        raise BrokenAnswer(f"{run.folder}: the codec of {subset} makes no points of its answers")
    doubt = np.full(points.shape[:2], np.nan, np.float32)
    if isinstance(codec, Integral):
        doubt = np.asarray(codec.spread(outputs), np.float32)
    return np.concatenate([points, doubt[..., None]], axis=-1)


def _outputs(run: Run, subset: str, batch_size: int, images: np.ndarray) -> np.ndarray:
    model = run.model(subset)
    try:
        if len(images) <= batch_size:
            # `predict` sets up an input pipeline, which takes a hundred times as long as a face.
            return np.asarray(model.predict_on_batch(images))
        return model.predict(images, batch_size=batch_size, verbose=0)
    except KfkdError:
        raise
    except Exception as error:  # what backends raise has no common kind
        told = f"{type(error).__name__} {str(error).strip().partition(chr(10))[0]:.300}"
        raise RunError(f"{run.folder}: the model of {subset} cannot answer: {told}") from error
