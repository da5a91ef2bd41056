"""What a run's models answer: points in pixels, and how much they doubt them."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from kfkd.by_source import FOUR_POINT
from kfkd.errors import BrokenAnswer, KfkdError, RunError
from kfkd.pipelines.batches import evaluation_size
from kfkd.second_looks import looked_again
from kfkd.thorough_looks import looked_thoroughly

if TYPE_CHECKING:
    from kfkd.runs import Run

_HELD = 2**28  # pixels held at once, 256 MB
_FEW = 4  # batches


def answers(
    run: Run, subset: str, images: np.ndarray, batch_size: int | None, thorough: bool = False
) -> np.ndarray:
    """What one model answers, in the mean of its test-time views, and looked at again.

    Args:
        run: the model's.
        subset: of the run's subsets.
        images: uint8 (n, h, w, c).
        batch_size: images a step; None = as many as fit, fewer of large images.
        thorough: whether a model that looks again looks in more ways, see `kfkd.thorough_looks`.

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
    size = batch_size or evaluation_size(model.input_shape[1:])
    # Lazy images come into memory in parts, an array's are there anyway.
    few = max(1, _HELD // (size * prod(model.input_shape[1:]))) * size
    parts = (np.asarray(images[i : i + few]) for i in range(0, len(images), few))
    views, mirror = run.views(subset), run.mirror(subset)
    one = partial(_answer, run, subset, size)
    look, offset = partial(views.predict, answer=one, mirror=mirror), run.label_offset(subset)
    usual = _usual(run, subset) - offset if run.second_look(subset) else None

    def answer(part: np.ndarray) -> np.ndarray:
        found = look(part)
        return found if usual is None else looked_again(part, found, usual, look)

    if thorough and usual is not None:
        found = np.concatenate([looked_thoroughly(part, answer) for part in parts])
    else:
        found = np.concatenate([answer(part) for part in parts])
    found[..., :2] += offset
    return found


def _usual(run: Run, subset: str) -> np.ndarray:
    """Where a model's points usually are, (p, 2) in pixels: the means of its training labels.

    NaN for those of a source that labelled nothing, of which the model knows nothing.
    """
    if not run.by_source(subset):
        return run.mean_face()[list(run.skeleton.subset(subset))]
    unknown = np.full((len(run.skeleton), 2), np.nan, np.float32)
    known = {*run.record["mean_face"]}
    four = run.mean_face("four_point") if "four_point" in known else unknown
    others = known - {"all", "four_point"}
    rest = "full" if "full" in known else "all"
    return np.concatenate([run.mean_face(rest) if others else unknown, four[list(FOUR_POINT)]])


def _answer(run: Run, subset: str, batch_size: int, images: np.ndarray) -> np.ndarray:
    found = _predicted(run, subset, batch_size, images)
    if broken := int(np.count_nonzero(found[:, 0, 3] == 0)):
        told = f"NaN for {broken} of {len(found)} images and views"
        raise BrokenAnswer(f"{run.folder}: the model of {subset} fails: {told}")
    if not np.isfinite(found[..., :2]).all():
        raise BrokenAnswer(f"{run.folder}: the codec of {subset} makes no points of its answers")
    return found[..., :3]


def _predicted(run: Run, subset: str, batch_size: int, images: np.ndarray) -> np.ndarray:
    model = run.answer_model(subset)
    try:
        if len(images) <= _FEW * batch_size:
            # `predict` sets up an input pipeline, which takes a hundred times as long as a face.
            parts = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
            return np.concatenate([np.asarray(model.predict_on_batch(part)) for part in parts])
        return model.predict(images, batch_size=batch_size, verbose=0)
    except KfkdError:
        raise
    except Exception as error:  # what backends raise has no common kind
        told = f"{type(error).__name__} {str(error).strip().partition(chr(10))[0]:.300}"
        raise RunError(f"{run.folder}: the model of {subset} cannot answer: {told}") from error
