"""Starting a training from another run's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.errors import RunError
from kfkd.faces import FaceSet
from kfkd.pipelines.splits import held_out_rows
from kfkd.runs import Run

if TYPE_CHECKING:
    import keras

_SPLIT = ("seed", "share", "fold")


def start_weights(run: Run, subset: str) -> list[list[np.ndarray]]:
    """The weights that a training of `subset` may begin with, layer by layer.

    Args:
        run: finished; of its subsets the one of that name counts, else its first.
        subset: keypoints to learn.
    """
    model = run.model(subset if subset in run.subsets else run.subsets[0])
    return [layer.get_weights() for layer in model.layers]


def epochs_behind(run: Run, subset: str) -> int:
    """How many epochs the weights of a run have behind them, with those it began with itself.

    Args:
        run: finished.
        subset: as `start_weights` takes it.
    """
    facts = run.record["subsets"][subset if subset in run.subsets else run.subsets[0]]
    return int(facts.get("epochs_before", 0) + facts["epochs"])


def begin_with(model: keras.Model, weights: list[list[np.ndarray]]) -> tuple[int, int]:
    """Fills a new model with another's weights, where a layer's shapes agree.

    The last layer of a net for other keypoints has other shapes; it keeps its random weights.

    Args:
        model: just built.
        weights: as `start_weights` gives them, of the same zoo entry.

    Returns:
        How many of its numbers were taken, and how many it has.

    Raises:
        RunError: when the two are nets of different layers.
    """
    if len(model.layers) != len(weights):
        raise RunError(
            f"the run to start from has {len(weights)} layers, {model.name} as asked for has "
            f"{len(model.layers)}: start from a run of the same entry and options"
        )
    taken = 0
    for layer, given in zip(model.layers, weights, strict=True):
        if given and [w.shape for w in layer.get_weights()] == [w.shape for w in given]:
            layer.set_weights(given)
            taken += sum(w.size for w in given)
    if not taken:
        raise RunError(f"nothing of the run to start from fits {model.name}; is it another entry?")
    return taken, model.count_params()


def check_unseen(run: Run, faces: FaceSet, split: dict[str, Any], held_out: np.ndarray) -> None:
    """Refuses to measure on images that a run to learn from has learned.

    Args:
        run: to start from, or a teacher.
        faces: all rows of the training's data.
        split: of the training, as its run.json has it.
        held_out: its held-out rows.

    Raises:
        RunError: saying which split would do.
    """
    other, data = run.record["split"], run.record["data"]
    if not len(held_out) or data["origin"] != faces.origin:
        return
    if data["fingerprint"] == faces.fingerprint and other["share"]:
        fits = bool(np.isin(held_out, held_out_rows(faces, other)).all())
    else:
        fits = bool(other["share"]) and all(other.get(k) == split.get(k) for k in _SPLIT)
    if not fits:
        told = {key: other[key] for key in _SPLIT if other.get(key) is not None}
        raise RunError(
            f"{run.folder} has learned images that this training would be measured on: hold out "
            f"what it held out ({told}), or nothing (validation=0)"
        )
