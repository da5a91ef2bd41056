"""One model to fit, and how many steps that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from kfkd.codecs import Codec
from kfkd.faces import FaceSet
from kfkd.learning.checkpoints import saved_epoch
from kfkd.machines.devices import Devices
from kfkd.pipelines.batches import epoch_order
from kfkd.registry import Recipe


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


def steps_per_epoch(job: Job) -> int:
    """Batches an epoch."""
    size = min(job.recipe.batch_size, len(job.train))
    return len(epoch_order(len(job.train), size, 0, 0))
