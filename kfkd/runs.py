"""Runs: the folder that one training leaves, enough to predict, resume, submit and reproduce."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.codecs import Codec, codec_from
from kfkd.crops import CropRule, rule_from
from kfkd.errors import KfkdError, RunError
from kfkd.files import read_json, replacing, write_json
from kfkd.pipelines.batches import evaluation_size
from kfkd.skeletons import SKELETONS, Skeleton, skeleton_from

if TYPE_CHECKING:
    import keras

RECORD = "run.json"
_HELD = 2**26  # numbers of network outputs held at once, 256 MB
_WANTED = {
    **dict.fromkeys(("model", "status", "skeleton"), str),
    **dict.fromkeys(("settings", "data", "split", "subsets"), dict),
}
_WANTED_SETTINGS = {"model": str, "subsets": list, "recipe": dict, "seed": int}
_WANTED_DATA = {"origin": str, "path": str, "fingerprint": str}
_WANTED_SPLIT = {"seed": int, "share": int | float}
_WANTED_FINISHED = {"mean_face": dict, "metrics": dict}


@dataclass
class Run:
    """A training's folder.

    Args:
        folder: where it is.
        record: content of its run.json: settings, versions, data, split, metrics.
    """

    folder: Path
    record: dict[str, Any]
    _models: dict[str, keras.Model] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The zoo entry that was trained."""
        return self.record["model"]

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.record["status"] == "finished"

    @property
    def skeleton(self) -> Skeleton:
        """What its keypoints are called."""
        if "keypoints" in self.record:
            return skeleton_from(self.record["keypoints"])
        return SKELETONS[self.record["skeleton"]]

    @property
    def frame(self) -> tuple[int, int, int] | None:
        """(height, width, channels) of the images it learned from, where run.json tells."""
        match self.record["data"].get("image"):
            case [int(height), int(width), int(channels)]:
                return height, width, channels
        return None

    @property
    def subsets(self) -> tuple[str, ...]:
        """The keypoint subsets that have a model, in the order of training."""
        return tuple(self.record["subsets"])

    @property
    def metrics(self) -> dict[str, Any]:
        """Validation scores in pixels, the mean face beside them; empty until finished."""
        return self.record.get("metrics", {})

    def model(self, subset: str) -> keras.Model:
        """The trained model of a subset, loaded in Keras' safe mode.

        Args:
            subset: one of `subsets`.

        Raises:
            RunError: when the run has no such model or its file is absent or broken.
        """
        if subset not in self.subsets:
            raise RunError(f"{self.folder} has no model for {subset!r}, only {self.subsets}")
        if subset not in self._models:
            self._models[subset] = load_model(self.folder / f"{subset}.keras")
        return self._models[subset]

    def codec(self, subset: str) -> Codec:
        """What the outputs of a subset's model mean."""
        return codec_from(self.record["subsets"][subset]["codec"])

    @property
    def crop_rule(self) -> CropRule:
        """How faces of photos are cropped for the run's models: as in the data they learned from.

        Raises:
            KfkdError: when run.json describes none and its data set has none.
        """
        from kfkd.pipelines.crop_rules import crop_rule

        if "crop" in self.record:
            return rule_from(self.record["crop"])
        return crop_rule(self.record["data"]["origin"])

    def history(self) -> dict[str, list[dict[str, float]]]:
        """Rows of history.csv by subset: epoch, losses, RMSEs in pixels, learning rate, seconds."""
        rows: dict[str, list[dict[str, float]]] = {subset: [] for subset in self.subsets}
        try:
            with (self.folder / "history.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    subset = row.pop("subset")
                    rows[subset].append({k: _figure(k, v) for k, v in row.items() if v})
        except FileNotFoundError:
            return rows
        except (KeyError, ValueError) as error:
            raise RunError(f"{self.folder / 'history.csv'} is broken: {error}") from error
        return rows

    def mean_face(self, source: str = "all") -> np.ndarray:
        """The mean of the training labels, (k, 2) in pixels: of all rows or of one source."""
        return np.array(self.record["mean_face"][source], np.float32)

    def predict(
        self, images: np.ndarray, batch_size: int | None = None, subset: str | None = None
    ) -> np.ndarray:
        """Keypoints of face images; NaN for keypoints that no model of the run predicts.

        Args:
            images: uint8 (n, h, w, c), as large as the run's training images.
            batch_size: images a step; None = as many as fit, fewer of large images.
            subset: only this subset's model; None = all of the run's.

        Returns:
            float32 (n, k, 2) in pixels.

        Raises:
            RunError: when the images do not fit the model.
        """
        found = np.full((len(images), len(self.skeleton), 2), np.nan, np.float32)
        for name in self.subsets if subset is None else (subset,):
            found[:, list(self.skeleton.subset(name))] = self._predict_one(name, images, batch_size)
        return found

    def _predict_one(self, subset: str, images: np.ndarray, batch_size: int | None) -> np.ndarray:
        model = self.model(subset)
        if np.shape(images)[1:] != model.input_shape[1:]:
            raise RunError(
                f"{self.name} wants images of {model.input_shape[1:]}. "
                f"Received: {np.shape(images)[1:]}"
            )
        if not len(images):
            return np.empty((0, len(self.skeleton.subset(subset)), 2), np.float32)
        # Maps of all images at once would not fit into memory; coordinates always do.
        size = batch_size or evaluation_size(model.input_shape[1:])
        # Lazy images come into memory in the same parts, an array's are there anyway.
        held = [model.output_shape[1:]]
        held += [] if isinstance(images, np.ndarray) else [model.input_shape[1:]]
        few = max(1, _HELD // (size * max(map(prod, held)))) * size
        parts = (np.asarray(images[i : i + few]) for i in range(0, len(images), few))
        return np.concatenate([self._answer(subset, part, size) for part in parts])

    def _answer(self, subset: str, images: np.ndarray, batch_size: int) -> np.ndarray:
        model = self.model(subset)
        if len(images) <= batch_size:
            # `predict` sets up an input pipeline, which takes a hundred times as long as a face.
            outputs = np.asarray(model.predict_on_batch(images))
        else:
            outputs = model.predict(images, batch_size=batch_size, verbose=0)
        finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
        if broken := int(np.count_nonzero(~finite)):
            raise RunError(f"{self.folder}: the model of {subset} fails on {broken} images: NaN")
        return np.asarray(self.codec(subset).decode(outputs))


def _figure(column: str, text: str) -> float:
    return int(float(text)) if column == "epoch" else float(text)


def load_model(path: Path) -> keras.Model:
    """Loads a `.keras` file in safe mode, for inference.

    Raises:
        RunError: when the file is absent or is not a Keras model.
    """
    import keras

    import kfkd.models.hub_layer  # noqa: F401  (Keras finds the layer by its registered name)

    if not path.is_file():
        raise RunError(f"{path} is absent; train the run to its end first")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise RunError(f"{path} is not a readable Keras model: {error}") from error


def load_run(folder: str | Path | Run) -> Run:
    """Opens the folder that a training left.

    Args:
        folder: the run's folder, or a `Run`, which is returned as it is.

    Returns:
        The run; its models are loaded when they are first used.

    Raises:
        RunError: when the folder holds no run, or a broken one.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.load_run("runs/doc").name
        'simple_cnn'
    """
    if isinstance(folder, Run):
        return folder
    folder = Path(folder).expanduser()
    if not (folder / RECORD).is_file():
        raise RunError(f"{folder} is not a run: it holds no {RECORD}")
    try:
        record = read_json(folder / RECORD)
    except KfkdError as error:
        raise RunError(str(error)) from error
    check_record(record, folder / RECORD)
    return Run(folder, record)


def finished_run(folder: str | Path | Run) -> Run:
    """Opens a run, as `load_run` does, that came to its end.

    Raises:
        RunError: when it did not, or the folder holds no run.
    """
    run = load_run(folder)
    if not run.finished:
        raise RunError(f"{run.folder} is not finished; go on with: kfkd resume {run.folder}")
    return run


def check_record(record: Any, path: Path) -> None:
    """Checks that a run.json has what a run needs, as it may come from anyone.

    Raises:
        RunError: naming what is wrong.
    """
    _check_parts(record, _WANTED, path)
    _check_parts(record["settings"], _WANTED_SETTINGS, path)
    _check_parts(record["data"], _WANTED_DATA, path)
    if record["status"] == "finished":
        _check_parts(record, _WANTED_FINISHED, path)
        _check_parts(record["split"], _WANTED_SPLIT, path)
    skeleton = SKELETONS.get(record["skeleton"])
    if "keypoints" in record:
        try:
            skeleton = skeleton_from(record["keypoints"])
        except KfkdError as error:
            raise RunError(f"{path}: {error}") from error
    if skeleton is None:
        raise RunError(f"{path} names an unknown skeleton. Received: {record['skeleton']!r}")
    known = {"all", *skeleton.subsets}
    if not set(record["subsets"]) <= known:
        raise RunError(f"{path} names unknown subsets; it may have {', '.join(sorted(known))}")
    for name, facts in record["subsets"].items():
        try:
            codec_from(facts["codec"])
        except (TypeError, ValueError, KeyError) as error:
            raise RunError(f"{path} gives {name!r} no known codec: {error}") from error


def _check_parts(value: Any, wanted: Mapping[str, Any], path: Path) -> None:
    found = value if isinstance(value, dict) else {}
    for key, kind in wanted.items():
        if not isinstance(found.get(key), kind):
            shown = type(found.get(key)).__name__
            wanted_kind = getattr(kind, "__name__", str(kind))
            raise RunError(f"{path} does not describe a run: {key} is {shown}, not {wanted_kind}")


def save_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes a run's run.json, whole or not at all."""
    write_json(folder / RECORD, record)


def save_history(folder: Path, history: Mapping[str, list[dict[str, float]]]) -> None:
    """Writes a run's history.csv, whole or not at all: the subset, then an epoch's numbers."""
    columns = (
        "subset",
        "epoch",
        "loss",
        "rmse",
        "val_loss",
        "val_rmse",
        "learning_rate",
        "seconds",
    )
    with replacing(folder / "history.csv") as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for subset, rows in history.items():
            writer.writerows({"subset": subset, **row} for row in rows)
