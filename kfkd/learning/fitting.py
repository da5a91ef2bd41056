"""Fitting one subset's model: phases, callbacks, checkpoints."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import keras
import numpy as np

from kfkd.catalogue import build
from kfkd.codecs import Codec
from kfkd.errors import KfkdError, RunError
from kfkd.faces import FaceSet
from kfkd.learning.checkpoints import Checkpoint, saved_epoch
from kfkd.learning.optimizing import optimizer_for, watchers_for
from kfkd.learning.warm_start import begin_with, start_weights
from kfkd.losses import PixelRMSE, loss_called
from kfkd.machines.devices import Devices
from kfkd.pipelines.batches import (
    epoch_order,
    evaluation_batches,
    evaluation_size,
)
from kfkd.pipelines.device_steps import fitting, training_steps
from kfkd.pipelines.lazy_batches import telling_failures
from kfkd.progress import Ticker, epoch_line, say
from kfkd.registry import Phase, Recipe, entry
from kfkd.runs import finished_run
from kfkd.searches.spaces import builder_options

_LOGGED = ("loss", "rmse", "val_loss", "val_rmse")


@dataclass(frozen=True)
class Job:
    """One model to fit.

    Args:
        name: zoo entry.
        subset: keypoints to learn.
        recipe: settings.
        codec: what the outputs mean.
        seed: of initialisation, order, dropout and augmentation.
        precision: Keras dtype policy.
        options: for the builder.
        train: rows to learn from.
        validation: rows to measure on, may be empty.
        mean_face: RMSE of the mean face on the validation rows, in pixels.
        augment: hook of `training_batches`.
        callbacks: the user's own.
        checkpoint: file of the state after each epoch.
        on_epoch: called with the history after each epoch.
        quiet: no progress.
        start: the run whose weights it begins with; None = random ones.
        epochs_before: of that run, whose draws of order and augmentation are not drawn again.
        devices: that share the work.
        label_offset: what the labels, of both sets of rows, have lost, and answers are to get: (x,
            y) in pixels for each point of the model; None = nothing.
    """

    name: str
    subset: str
    recipe: Recipe
    codec: Codec
    seed: int
    precision: str
    options: dict[str, Any]
    train: FaceSet
    validation: FaceSet
    mean_face: float
    augment: Callable[..., Any] | None
    callbacks: Sequence[keras.callbacks.Callback]
    checkpoint: Path
    on_epoch: Callable[[list[dict[str, float]]], None]
    quiet: bool
    start: str | None = None
    epochs_before: int = 0
    devices: Devices = field(default_factory=Devices)
    label_offset: list[list[float]] | None = None

    def saved_epoch(self) -> int:
        """How many epochs the checkpoint has behind it; 0 where there is none."""
        return self.devices.machines.told(lambda: saved_epoch(self.checkpoint))


def fit(job: Job) -> tuple[keras.Model, list[dict[str, float]]]:
    """Fits a model, going on from its checkpoint where there is one.

    Args:
        job: what to fit.

    Returns:
        The trained model and a row for each epoch.

    Raises:
        KfkdError: when the devices cannot share the batch or the model.
        RunError: when the loss is no longer a number.
    """
    history: list[dict[str, float]] = []
    job.devices.check_batch(min(job.recipe.batch_size, len(job.train)))
    given = _start_weights(job)  # before seeding: loading a model draws random numbers
    seed = crc32(f"{job.seed}:{job.subset}".encode())
    with job.devices.shared(), seeded(seed), precision(job.precision):
        model = build(
            job.name,
            job.codec.outputs(len(job.train.skeleton.subset(job.subset))),
            job.train.images.shape[1:],
            codec=job.codec,
            **job.options,
        )
        done, start = job.saved_epoch(), 0
        if given is not None:
            taken, count = begin_with(model, given)
            told = f"{taken:,} of {count:,} numbers of {job.start}"
            say(f"{job.subset}: begins with {told}", job.quiet)
        with job.devices.joint_statistics(model):
            for phase in phases(job.recipe):
                if done <= start + phase.epochs:
                    _fit_phase(job, model, phase, start, history)
                start += phase.epochs
    return model, history


def _start_weights(job: Job) -> list[list[np.ndarray]] | None:
    """The weights to begin with; None = random ones, or those of the checkpoint."""
    if job.start is None or job.saved_epoch():
        return None
    return start_weights(finished_run(job.start), job.subset)


def phases(recipe: Recipe) -> list[Phase]:
    """The recipe's phases, stretched to its number of epochs; one where it names none."""
    if not recipe.phases:
        return [Phase(recipe.epochs, None)]
    planned = np.cumsum([phase.epochs for phase in recipe.phases])
    ends = np.round(planned * recipe.epochs / planned[-1]).astype(int)
    lengths = np.diff(ends, prepend=0).tolist()
    return [
        Phase(length, phase.unfreeze, phase.learning_rate)
        for length, phase in zip(lengths, recipe.phases, strict=True)
        if length
    ]


def _fit_phase(
    job: Job, model: keras.Model, phase: Phase, start: int, history: list[dict[str, float]]
) -> None:
    _freeze(model, phase.unfreeze, _pretrained(job))
    _compile(job, model, phase)
    watchers = watchers_for(job.recipe, "val_rmse" if len(job.validation) else "rmse")
    log = EpochLog(job, history)
    checkpoint = Checkpoint(job.checkpoint, watchers, history, job.devices.machines)
    checkpoint.set_model(model)
    end = start + phase.epochs
    first = checkpoint.restore() if job.saved_epoch() > start else start
    if first >= end or checkpoint.stopped:
        _end_early(job.recipe, watchers, checkpoint, model)
        return
    with (
        telling_failures(job.train.images, job.validation.images),
        fitting(model, _steps(job, first, end)) as batches,
    ):
        model.fit(
            batches,
            steps_per_epoch=steps_per_epoch(job),
            initial_epoch=first,
            epochs=end,
            validation_data=_validation(job),
            callbacks=[log, *watchers, *job.callbacks, checkpoint],
            shuffle=False,
            verbose=0,
        )


def _freeze(model: keras.Model, unfreeze: int | None, pretrained: bool = False) -> None:
    if any(layer.name == "backbone" for layer in model.layers):
        backbone = model.get_layer("backbone")
        backbone.trainable = unfreeze != 0
        for i, layer in enumerate(backbone.layers):
            learns = unfreeze is None or i >= len(backbone.layers) - unfreeze
            # Running statistics follow over thousands of steps (momentum 0.999 in MobileNet): moved
            # in a short fine-tuning they fit nothing. A frozen one uses those it was loaded with.
            still = pretrained and isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = learns and not still
    elif unfreeze is not None:
        raise KfkdError(f"{model.name} has no layer called 'backbone' of which to train a part")


def _pretrained(job: Job) -> bool:
    """Whether the builder loads weights for its backbone."""
    return {**builder_options(entry(job.name)), **job.options}.get("weights") is not None


def _compile(job: Job, model: keras.Model, phase: Phase) -> None:
    steps = phase.epochs * steps_per_epoch(job)
    optimizer = optimizer_for(job.recipe, phase.learning_rate, steps)
    loss = job.devices.loss(job.codec.loss(loss_called(job.recipe.loss)))
    model.compile(optimizer=optimizer, loss=loss, metrics=[PixelRMSE(job.codec)])


def _end_early(
    recipe: Recipe,
    watchers: list[keras.callbacks.Callback],
    checkpoint: Checkpoint,
    model: keras.Model,
) -> None:
    """A training that had already ended when it was killed still owes its best or mean weights."""
    if recipe.ema is not None:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    best = checkpoint.best_weights
    if best and any(getattr(w, "restore_best_weights", False) for w in watchers):
        model.set_weights(best)


def steps_per_epoch(job: Job) -> int:
    """Batches an epoch."""
    size = min(job.recipe.batch_size, len(job.train))
    return len(epoch_order(len(job.train), size, 0, 0))


def _steps(job: Job, first: int, end: int) -> Any:
    return training_steps(
        job.train,
        job.recipe.batch_size,
        subset=job.subset,
        codec=job.codec,
        seed=job.seed,
        first_epoch=job.epochs_before + first,
        epochs=job.epochs_before + end,
        augment=job.augment,
    )


def _validation(job: Job) -> Any:
    if not len(job.validation):
        return None
    size = evaluation_size(job.validation.images.shape[1:])
    return evaluation_batches(job.validation, size, subset=job.subset, codec=job.codec)


def _loss_weight(job: Job) -> float:
    size = evaluation_size(job.validation.images.shape[1:])
    return job.devices.weight(len(job.validation), size)


class EpochLog(keras.callbacks.Callback):
    """Keeps the history, reports progress, and ends a training whose loss is no longer a number.

    Args:
        job: what is fitted.
        history: where rows go.
    """

    def __init__(self, job: Job, history: list[dict[str, float]]) -> None:
        super().__init__()
        self.job, self.history = job, history
        self.ticker, self.steps = Ticker(job.quiet), steps_per_epoch(job)
        self.weight = _loss_weight(job)
        self.began, self.epoch = 0.0, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the epoch's clock."""
        self.began, self.epoch = time.monotonic(), epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Shows where the epoch is, where someone watches.

        At a step's begin: for its end Keras would fetch the losses, and wait for the device.
        """
        if self.ticker.active:
            title = f"{self.job.subset} {self.epoch + 1:>3}/{self.job.recipe.epochs}"
            self.ticker.show(f"{title}  step {batch + 1}/{self.steps}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Appends the epoch's row and says it."""
        logs = {**(logs or {})}
        if "val_loss" in logs:
            logs["val_loss"] *= self.weight
        if broken := [key for key in _LOGGED if not np.isfinite(logs.get(key, 0.0))]:
            raise RunError(
                f"{self.job.name}, {self.job.subset}: the {broken[0]} of epoch {epoch + 1} is "
                f"{logs[broken[0]]}; a smaller learning_rate than "
                f"{self._rate():g} may help"
            )
        row: dict[str, float] = {"epoch": epoch + 1}
        row |= {key: float(logs[key]) for key in _LOGGED if key in logs}
        row["learning_rate"] = self._rate()
        row["seconds"] = round(time.monotonic() - self.began, 3)
        self.history.append(row)
        self.ticker.clear()
        self.job.on_epoch(self.history)
        line = epoch_line(self.job.subset, self.job.recipe.epochs, row, self.job.mean_face)
        say(line, self.job.quiet)

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Keras, NumPy and Python inside the block; the caller's generators stay as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Sets Keras' dtype policy inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
