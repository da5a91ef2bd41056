"""Runs: the folder that one training leaves, enough to predict, resume, submit and reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.answering import answers
from kfkd.by_source import KAGGLE_BY_SOURCE, join_sources
from kfkd.codecs import Codec, codec_from
from kfkd.correction import Correction
from kfkd.corrections import Found, read_corrections, with_correction
from kfkd.crops import CropRule, rule_from
from kfkd.doubts.calibration import Calibration, calibration_from
from kfkd.errors import KfkdError, RunError
from kfkd.packing import packed_model
from kfkd.pretrained import ENSEMBLE, packaged, pretrained_folder
from kfkd.run_history import read_history
from kfkd.run_records import check_record
from kfkd.skeletons import SKELETONS, Skeleton, skeleton_from
from kfkd.storage.files import read_json, write_json
from kfkd.views import Views, views_from

if TYPE_CHECKING:
    import keras

    from kfkd.answer_model import AnswerModel

RECORD = "run.json"


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
    _corrections: Found = field(default_factory=dict, init=False, repr=False, compare=False)
    _answer_models: dict[str, AnswerModel] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
            path = self.folder / f"{subset}.keras"
            packed = path.with_suffix(".npz").is_file() and not path.exists()
            model = packed_model(self, subset) if packed else load_model(path)
            self._check_answer(subset, model)
            self._models[subset] = model
        return self._models[subset]

    def answer_model(self, subset: str) -> AnswerModel:
        """The model of a subset with its codec behind it, as `kfkd.answering` asks it.

        It computes in float32 where the processor would emulate the model's mixed precision.
        """
        from kfkd.answer_model import AnswerModel

        model = self.model(subset)
        made = self._answer_models.get(subset)
        if made is None or made.net is not model:
            made = self._answer_models[subset] = AnswerModel(model, self.codec(subset))
        return made

    def _check_answer(self, subset: str, model: keras.Model) -> None:
        """Refuses a model that answers something else than run.json says."""
        shape, codec = model.input_shape, self.codec(subset)
        wanted = (None, *codec.output_shape(codec.outputs(len(self.points(subset))), shape[1:]))
        if model.output_shape != wanted:
            raise RunError(
                f"{self.folder}: the model of {subset} answers {model.output_shape}, its run.json "
                f"tells of {wanted}"
            )

    def codec(self, subset: str) -> Codec:
        """What the outputs of a subset's model mean."""
        return codec_from(self.record["subsets"][subset]["codec"])

    @property
    def crop_rule(self) -> CropRule:
        """How faces of photos are cropped for the run's models: as in the data they learned from.

        Raises:
            KfkdError: when run.json describes none and its data set has none.
        """
        from kfkd.pipelines.crop_rules import crop_rule_of

        if "crop" in self.record:
            return rule_from(self.record["crop"])
        data = self.record["data"]
        return crop_rule_of(data["origin"], str(data.get("path") or ""))

    @property
    def known_crop_rule(self) -> CropRule | None:
        """`crop_rule`, or None where there is none."""
        try:
            return self.crop_rule
        except KfkdError:
            return None

    def history(self) -> dict[str, list[dict[str, float]]]:
        """Rows of history.csv by subset: epoch, losses, RMSEs in pixels, learning rate, seconds."""
        return read_history(self.folder, self.subsets)

    def mean_face(self, source: str = "all") -> np.ndarray:
        """The mean of the training labels, (k, 2) in pixels: of all rows or of one source."""
        return np.array(self.record["mean_face"][source], np.float32)

    def predict(
        self,
        images: np.ndarray,
        batch_size: int | None = None,
        subset: str | None = None,
        source: np.ndarray | str = "full",
        thorough: bool = False,
    ) -> np.ndarray:
        """Keypoints of face images; NaN for keypoints that no model of the run predicts.

        Args:
            images: uint8 (n, h, w, c), as large as the run's training images.
            batch_size: images a step; None = as many as fit, fewer of large images.
            subset: only this subset's model; None = all of the run's.
            source: for models that know Kaggle's two label sources, as which to answer: "full" or
                "four_point", one for all or (n,).
            thorough: take some seven times as long where that is worth it: models with
                `second_look` look at every image turned and zoomed as well, see
                `kfkd.thorough_looks`.

        Returns:
            float32 (n, k, 2) in pixels.

        Raises:
            RunError: when the images do not fit the model.
        """
        return self.predict_with_doubt(images, batch_size, subset, source, thorough)[0]

    def predict_with_doubt(
        self,
        images: np.ndarray,
        batch_size: int | None = None,
        subset: str | None = None,
        source: np.ndarray | str = "full",
        thorough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints as `predict` gives them, and how far each may be off.

        Args:
            images: as for `predict`, as are the others.
            batch_size: images a step.
            subset: only this subset's model.
            source: as which label source to answer.
            thorough: look in more ways, where that is worth it.

        Returns:
            float32 (n, k, 2) in pixels, and float32 (n, k), a standard deviation along an axis in
            pixels: from the spread of maps and the disagreement of test-time views; NaN where a
            model has neither. It ranks points by their error, and is not in itself calibrated.

        Raises:
            RunError: when the images do not fit the model.
        """
        found = np.full((len(images), len(self.skeleton), 3), np.nan, np.float32)
        for name in self.subsets if subset is None else (subset,):
            points = answers(self, name, images, batch_size, thorough)
            if self.by_source(name):
                points = join_sources(points, source)
            points = with_correction(self, name, points, source)
            found[:, list(self.skeleton.subset(name))] = points
        return np.ascontiguousarray(found[..., :2]), found[..., 2]

    @property
    def calibration(self) -> Calibration | None:
        """What its doubt is worth, by its held-out images; None where they did not tell.

        Raises:
            RunError: when run.json describes it wrongly.
        """
        if (facts := self.metrics.get("doubt")) is None:
            return None
        try:
            return calibration_from(facts, len(self.skeleton))
        except KfkdError as error:
            raise RunError(f"{self.folder / RECORD}: {error}") from error

    def confidence(self, doubt: np.ndarray, source: np.ndarray | str = "full") -> np.ndarray:
        """How probably each point lies within a 48th of the image's width of the right place.

        Args:
            doubt: (n, k) of `predict_with_doubt`.
            source: as there.

        Returns:
            float32 (n, k) in (0, 1), see `kfkd.doubts.calibration`; NaN where the run cannot tell.
        """
        known = self.calibration
        nothing = np.full(np.shape(doubt), np.nan, np.float32)
        return nothing if known is None else known.confidence(doubt, source)

    def by_source(self, subset: str) -> bool:
        """Whether a subset's model has points of its own for each of Kaggle's label sources."""
        return self.record["subsets"][subset].get("by_source") is True

    def views(self, subset: str) -> Views:
        """The test-time views of a subset's model."""
        return views_from(self.record["subsets"][subset].get("views", {}))

    def second_look(self, subset: str) -> bool:
        """Whether a subset's model looks again at faces out of their place."""
        return self.record["subsets"][subset].get("second_look") is True

    def corrections(self, subset: str) -> dict[str, Correction]:
        """What answers are corrected by for each label source.

        Raises:
            RunError: when the file is absent or broken.
        """
        if subset not in self._corrections:
            self._corrections[subset] = read_corrections(self, subset)
        return self._corrections[subset]

    def hold_corrections(self, found: Found) -> None:
        """Takes corrections by subset and source in the place of those of its files."""
        self._corrections = found

    def label_offset(self, subset: str) -> np.ndarray:
        """What is added to the points of a subset's model, float32 (p, 2) in pixels: zeros where
        nothing was fitted, see `kfkd.label_offsets`.

        Raises:
            RunError: when run.json has another number of points, or offsets beyond the image.
        """
        points, width = len(self.points(subset)), self.record["data"].get("image", [0, 4096])[1]
        given = self.record["subsets"][subset].get("label_offset") or [[0.0, 0.0]] * points
        if len(given) != points or any(len(p) != 2 or max(map(abs, p)) > width for p in given):
            raise RunError(
                f"{self.folder / RECORD}: label_offset of {subset} wants {points} pairs of pixels "
                f"up to {width}"
            )
        return np.array(given, np.float32)

    def points(self, subset: str) -> tuple[str, ...]:
        """Names of the points that a subset's model gives."""
        if self.by_source(subset):
            return KAGGLE_BY_SOURCE.points
        return tuple(self.skeleton.points[i] for i in self.skeleton.subset(subset))

    def mirror(self, subset: str) -> tuple[int, ...] | None:
        """For each point of a subset's model the one it becomes in a mirror image."""
        skeleton = KAGGLE_BY_SOURCE if self.by_source(subset) else self.skeleton
        chosen = skeleton.subset("all" if self.by_source(subset) else subset)
        mirrored = [skeleton.mirror[i] for i in chosen]
        return tuple(map(chosen.index, mirrored)) if {*mirrored} == {*chosen} else None


def load_model(path: Path) -> keras.Model:
    """Loads a `.keras` file from anyone, for inference: looked at, then opened in safe mode.

    Raises:
        RunError: when the file is absent or is not a Keras model.
    """
    import kfkd.models.hub_layer  # noqa: F401  (Keras finds the layer by its registered name)
    from kfkd.models.model_files import load_checked

    if not path.is_file():
        raise RunError(f"{path} is absent; train the run to its end first")
    try:
        return load_checked(path)
    except Exception as error:
        told = str(error) or type(error).__name__
        raise RunError(f"{path} is not a readable Keras model: {told:.1000}") from error


def load_run(folder: str | Path | Run) -> Run:
    """Opens the folder that a training left, or a run that comes with the package.

    Args:
        folder: the run's folder, a name of `kfkd.pretrained_runs()`, or a `Run`, which is returned
            as it is.

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
    named, folder = pretrained_folder(str(folder)), Path(folder).expanduser()
    if named and not (folder / RECORD).is_file():
        folder = named
    if not (folder / RECORD).is_file():
        raise RunError(f"{folder} is not a run: {_instead(folder)}")
    try:
        record = read_json(folder / RECORD)
    except KfkdError as error:
        raise RunError(str(error)) from error
    return Run(folder, check_record(record, folder / RECORD))


def _instead(folder: Path) -> str:
    """What a folder or name is that is no run's."""
    place = folder if (folder / ENSEMBLE).is_file() else packaged(str(folder), ENSEMBLE)
    if place is None:
        return f"it holds no {RECORD}"
    return f"it is an ensemble, for kfkd submit; each folder in {place} is a run"


def finished_run(folder: str | Path | Run) -> Run:
    """Opens a run, as `load_run` does, that came to its end.

    Raises:
        RunError: when it did not, or the folder holds no run.
    """
    run = load_run(folder)
    if not run.finished:
        raise RunError(f"{run.folder} is not finished; go on with: kfkd resume {run.folder}")
    return run


def save_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes a run's run.json, whole or not at all."""
    write_json(folder / RECORD, record)
