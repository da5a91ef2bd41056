"""Small copies of runs: weights in half the bytes, the record, and a card that says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.corrections import correction_path, write_corrections
from kfkd.data import built_in_images
from kfkd.errors import KfkdError, RunError
from kfkd.learning.settings import shown_runs
from kfkd.registry import entry
from kfkd.storage.files import bytes_in, replacing, whole_folder, write_json, write_text
from kfkd.storage.stored_arrays import read_arrays

if TYPE_CHECKING:
    from keras import Model

    from kfkd.folds.cross_validation import CrossValidation
    from kfkd.runs import Run

CARD = "MODEL_CARD.md"
_TESTED = 32


def pack(
    run: Run | CrossValidation | str | Path,
    out: str | Path,
    name: str | None = None,
    measured_by: Run | str | Path | None = None,
    seed: int | None = None,
) -> Path:
    """Writes a small copy of a finished run: every verb takes it as it takes the run.

    Of a cross-validation's model it writes an ensemble: `kfkd.submit` takes it, and its nets are
    packed runs.

    Weights are kept in float16 under plain numbers, so the copy needs the zoo entry's code, as the
    run's own `.keras` files do not. Paths of the machine it was trained on are left out.

    Args:
        run: a finished run of a zoo entry, or its folder; or a finished cross-validation of one
            model, its folder, or the folder of one of its models.
        out: folder to make; it comes to hold run.json, SUBSET.npz, SUBSET-correction.npz where
            the run has corrections, and MODEL_CARD.md; of a cross-validation ensemble.json,
            MODEL_CARD.md and a folder seed-N-fold-I with such a copy of each net.
        name: what the card calls it; None = the entry's name.
        measured_by: for a run that learned all rows, a run of the same recipe that held some out,
            maybe of fewer epochs: its scores and what its doubts are worth stand for both.
        seed: of a cross-validation, whose folds alone are wanted; None = all.

    Returns:
        The folder.

    Raises:
        RunError: when the run or cross-validation is unfinished, a net answers otherwise than when
            its fold was predicted, there is no such seed, `measured_by` is no such run, a weight is
            too large for float16, or the copy's keypoints differ from the run's by more than 0.05
            px on built-in faces.
        KfkdError: when a run is given a seed, or a cross-validation `measured_by`; when the
            cross-validation is of several models, or of other keypoints than Kaggle's.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> sorted(path.name for path in kfkd.pack(run, "runs/doc-packed").iterdir())
        ['MODEL_CARD.md', 'dense.npz', 'run.json', 'sparse.npz']
    """
    from kfkd.ensembles.members import run_or_folds
    from kfkd.ensembles.packed import pack_ensemble
    from kfkd.model_card import model_card
    from kfkd.runs import RECORD, Run, finished_run, load_run

    found = run_or_folds(run)
    if isinstance(found, tuple):
        if measured_by is not None:
            raise KfkdError("a cross-validation held images out itself: leave measured_by away")
        return pack_ensemble(*found, out, name, seed)
    if seed is not None:
        raise KfkdError(f"seed chooses folds of a cross-validation. Received: {found.folder}")
    run, out = found, Path(out).expanduser()
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} holds something already; name an empty or new folder")
    with whole_folder(out) as beside:
        for subset in run.subsets:
            _write_weights(run.model(subset), beside / f"{subset}.npz")
            if corrections := run.corrections(subset):
                write_corrections(correction_path(beside, subset), corrections)
        record = _handed_on(run, None if measured_by is None else finished_run(measured_by))
        write_json(beside / RECORD, record)
        moved = _moved(run, load_run(beside))
        if moved > 0.05:
            raise RunError(f"{run.folder} wants more than float16: a keypoint moved {moved:.3f} px")
        shown = Run(run.folder, record)
        write_text(beside / CARD, model_card(shown, name or run.name, bytes_in(beside), moved))
    return out


def _handed_on(run: Run, measured_by: Run | None) -> dict[str, Any]:
    """The record of the copy."""
    from kfkd.recording import lineage

    record: dict[str, Any] = json.loads(json.dumps(run.record))
    settings = record["settings"]
    if rule := run.known_crop_rule:  # the path, which tells the margin, is left out
        record["crop"] = rule.as_dict()
    record["data"]["path"] = ""
    if began := lineage(run):
        record["lineage"] = began
    settings |= shown_runs(settings)
    if measured_by is not None:
        epochs = [_epochs(one) for one in (measured_by, run)]
        _check_twin(run, measured_by, epochs)
        record["metrics"] = json.loads(json.dumps(measured_by.metrics))
        split = measured_by.record["split"]
        told = {key: split[key] for key in ("seed", "train", "validation")}
        shorter = {"epochs": epochs[0], "of_epochs": epochs[1]} if epochs[0] != epochs[1] else {}
        record["measured_by"] = told | shorter
    return record


def _epochs(run: Run) -> int:
    """How many times a run, and those of its data that it began with, saw their rows."""
    from kfkd.recording import lineage

    own = {subset: facts["epochs"] for subset, facts in run.record["subsets"].items()}
    origin = run.record["data"]["origin"]
    before = [one["epochs"] for one in lineage(run) if one.get("data", origin) == origin]
    return sum(max(epochs.values()) for epochs in [*before, own])


_LENGTH = ("start", "learning_rate", "epochs")
"""Settings of a run that goes on where another ended: one that held images out may be shorter."""


def _check_twin(run: Run, other: Run, epochs: Sequence[int]) -> None:
    """Refuses scores of another recipe, of a longer training (`epochs` of the other, then of the
    run), or of a run that held nothing out.
    """
    held_out = other.record["split"]["validation"] and other.metrics.get("on") == "validation"
    if run.record["split"]["validation"] or not held_out:
        raise RunError(
            f"measured_by wants a run that held images out, for one that did not. Received: "
            f"{other.folder} for {run.folder}"
        )
    if run.record["data"]["fingerprint"] != other.record["data"]["fingerprint"]:
        raise RunError(f"{other.folder} has other data than {run.folder}")
    ours, theirs = (_recipe_of(r) for r in (run, other))
    if differ := [key for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]:
        raise RunError(f"{other.folder} has other settings than {run.folder}: {', '.join(differ)}")
    if epochs[0] > epochs[1]:
        raise RunError(
            f"measured_by wants a run of no more epochs. Received: {epochs[0]} of {other.folder} "
            f"for {epochs[1]} of {run.folder}"
        )


def _recipe_of(run: Run) -> dict[str, Any]:
    """A run's settings without what chooses its rows, how long it is, and how it began: weights
    that have learned all rows are of no use to a run that holds some out.
    """
    settings = {key: value for key, value in run.record["settings"].items() if key != "recipe"}
    every = settings | run.record["settings"]["recipe"]
    chosen = ("seed", "split_seed", "fold", "validation", *_LENGTH)
    return {key: value for key, value in every.items() if key not in chosen}


def _write_weights(model: Model, path: Path) -> None:
    arrays = {}
    for number, weight in enumerate(model.get_weights()):
        with np.errstate(over="ignore"):
            half = weight.astype(np.float16) if weight.dtype.kind == "f" else weight
        if half.dtype.kind == "f" and not np.isfinite(half).all():
            raise RunError(f"{model.name}: weight {number} does not fit into float16")
        arrays[str(number)] = half
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _moved(run: Run, packed: Run) -> float:
    """How far float16 weights move a keypoint of built-in faces at most, in pixels.

    Both compute in float32: a mixed precision moves keypoints by more than the weights do. Neither
    looks twice: whether it is worth it may depend on a rounding.
    """
    from kfkd.exports.graph import looking_once, run_in_float32

    run, packed = run_in_float32(looking_once(run)), looking_once(packed)
    images = built_in_images(_TESTED, run.frame or (96, 96, 1), run.known_crop_rule)
    return float(np.nanmax(np.abs(run.predict(images) - packed.predict(images))))


def packed_model(run: Run, subset: str) -> Model:
    """The model of a packed run's subset: built anew and filled with its weights.

    Args:
        run: opened from a packed copy.
        subset: one of its subsets.

    Raises:
        RunError: when the weights are not readable, or not this model's.
        UnknownName: when the zoo has no such entry.
    """
    from kfkd.building import build
    from kfkd.learning.surroundings import precision

    path = run.folder / f"{subset}.npz"
    points, options = run.points(subset), _plain_options(run.record["settings"], path)
    if run.frame is None:
        raise RunError(f"{run.folder} does not say how large its images are")
    entry(run.name)
    codec, frame = run.codec(subset), run.frame
    outputs = codec.outputs(len(points))
    try:
        stored = read_arrays(path)
        weights = [stored[str(i)] for i in range(len(stored))]
        make = partial(build, run.name, outputs, frame, codec=codec, **options)
        with precision("float32"):
            _refuse_larger(make, weights)
            model = make()
        model.set_weights([w.astype(np.float32) for w in weights])
    except (ValueError, KeyError) as error:
        raise RunError(f"{path} does not hold the weights of {run.name}: {error}") from error
    return model


def _refuse_larger(make: Callable[[], Model], weights: Sequence[np.ndarray]) -> None:
    """Refuses options of anyone's that would make a net larger than its weights."""
    from kfkd.models.model_sizes import refuse_wide, size_of

    try:
        size = size_of(make)
    except KfkdError:
        raise
    except Exception as error:  # Keras and the builders raise almost anything for odd options
        raise KfkdError(f"it cannot be built: {error!s:.300}") from error
    refuse_wide(size)
    if size.weights != (held := sum(array.size for array in weights)):
        raise KfkdError(f"it has {size.weights:,} numbers, there are {held:,}")


def _plain_options(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A builder's options without texts: a copy from anyone must not name files to read."""
    options = dict(settings.get("options") or {})
    options.pop("weights", None)
    if wrong := [key for key, value in options.items() if '"' in json.dumps(value)]:
        raise RunError(f"{path}: the options {', '.join(wrong)} are no plain numbers")
    return options
