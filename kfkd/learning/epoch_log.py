"""What a training says and keeps of each epoch."""

from __future__ import annotations

import time

import keras
import numpy as np

from kfkd.errors import RunError
from kfkd.learning.jobs import Job, steps_per_epoch
from kfkd.pipelines.batches import evaluation_size
from kfkd.progress import Ticker, epoch_line, say

_LOGGED = ("loss", "rmse", "val_loss", "val_rmse")


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


def _loss_weight(job: Job) -> float:
    size = evaluation_size(job.validation.images.shape[1:])
    return job.devices.weight(len(job.validation), size)
