"""Fitting one subset's model: phases, callbacks, checkpoints."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import keras
import numpy as np

from kfkd.building import build
from kfkd.errors import KfkdError
from kfkd.learning.checkpoints import Checkpoint
from kfkd.learning.epoch_log import EpochLog
from kfkd.learning.jobs import Job, steps_per_epoch
from kfkd.learning.optimizing import optimizer_for, watchers_for
from kfkd.learning.surroundings import precision, seeded
from kfkd.learning.warm_start import begin_with, start_weights
from kfkd.losses import PixelRMSE, loss_called
from kfkd.pipelines.batches import (
    evaluation_batches,
    evaluation_size,
)
from kfkd.pipelines.device_steps import fitting, training_steps
from kfkd.pipelines.lazy_batches import telling_failures
from kfkd.progress import say
from kfkd.registry import Phase, Recipe, entry
from kfkd.runs import finished_run
from kfkd.searches.spaces import builder_options


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
