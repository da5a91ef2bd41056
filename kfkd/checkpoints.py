"""Checkpoints after every epoch, so that a killed training goes on to the same result.

One `.npz` a subset holds what the next epoch depends on: weights, random states of dropout,
the optimiser's moments and rate, the callbacks' counters, and the history. The order of the rows
depends on seed and epoch alone. Best weights lie in a file of their own, written only when they
change. No pickle is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from kfkd.errors import RunError
from kfkd.files import replacing

_STATE = {"epoch", "stopped", "best_epoch", "history", "counters"}
_COUNTERS: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}


class Checkpoint(keras.callbacks.Callback):
    """Saves after each epoch and, on a resumed run, puts the other callbacks' counters back.

    Must be the last callback: it saves what the others have decided.

    Args:
        path: the subset's checkpoint file.
        others: callbacks whose counters belong to the state.
        history: rows of the epochs so far; each epoch's row is expected to be appended before.
    """

    def __init__(
        self,
        path: Path,
        others: Sequence[keras.callbacks.Callback],
        history: list[dict[str, float]],
    ) -> None:
        super().__init__()
        self.path, self.others, self.history = path, list(others), history
        self.counters: list[dict[str, Any]] = []
        self.best_weights: list[np.ndarray] | None = None
        self.stopped = False

    def restore(self) -> int:
        """Puts the saved state back into the compiled model.

        Returns:
            The epoch to go on with, from 0.

        Raises:
            RunError: when the checkpoint is broken or belongs to another model.
        """
        arrays, state = _read(self.path)
        self.history[:] = state["history"]
        self.counters, self.stopped = state["counters"], state["stopped"]
        self.model.optimizer.build(self.model.trainable_variables)
        _assign(_kept(self.model), arrays, "model", self.path)
        _assign(self.model.optimizer.variables, arrays, "optimizer", self.path)
        if state["best_epoch"] >= 0:
            stored, _ = _read(self._best_path(state["best_epoch"]))
            self.best_weights = [stored[f"best_{i}"] for i in range(len(stored))]
        return state["epoch"]

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Puts the other callbacks' counters back: their own `on_train_begin` reset them."""
        for callback, counters in zip(self.others, self.counters, strict=False):
            for name, value in counters.items():
                setattr(callback, name, value)
            if isinstance(callback, keras.callbacks.EarlyStopping) and self.best_weights:
                callback.best_weights = self.best_weights

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the state: best weights first, then what refers to them."""
        best_epoch = -1
        for callback in self.others:
            if isinstance(callback, keras.callbacks.EarlyStopping) and callback.best_weights:
                best_epoch = int(callback.best_epoch)
                if best_epoch == epoch:
                    named = {f"best_{i}": w for i, w in enumerate(callback.best_weights)}
                    _write(self._best_path(epoch), named, dict.fromkeys(_STATE))
        state = {
            "epoch": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "best_epoch": best_epoch,
            "history": self.history,
            "counters": [_counters(callback) for callback in self.others],
        }
        arrays = {f"model_{i}": np.asarray(v) for i, v in enumerate(_kept(self.model))}
        moments = enumerate(self.model.optimizer.variables)
        arrays |= {f"optimizer_{i}": np.asarray(v) for i, v in moments}
        _write(self.path, arrays, state)
        for old in self.path.parent.glob(f"{self.path.stem}-best-*.npz"):
            if old != self._best_path(best_epoch):
                old.unlink()

    def _best_path(self, epoch: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-best-{epoch}.npz")


def saved_epoch(path: Path) -> int:
    """How many epochs a checkpoint has behind it; 0 where there is none."""
    return _read(path, only_state=True)[1]["epoch"] if path.is_file() else 0


def _kept(model: keras.Model) -> list[Any]:
    metrics = {id(v) for v in model.metrics_variables}
    return [v for v in model.variables if id(v) not in metrics]


def _counters(callback: keras.callbacks.Callback) -> dict[str, Any]:
    names = next((n for kind, n in _COUNTERS.items() if isinstance(callback, kind)), ())
    values: dict[str, Any] = {name: getattr(callback, name, None) for name in names}
    return {k: v.item() if hasattr(v, "item") else v for k, v in values.items()}


def _assign(variables: Sequence[Any], arrays: dict[str, np.ndarray], kind: str, path: Path) -> None:
    for i, variable in enumerate(variables):
        saved = arrays.get(f"{kind}_{i}")
        if saved is None or tuple(saved.shape) != tuple(variable.shape):
            raise RunError(f"{path} belongs to another model: {variable.path} does not fit")
        variable.assign(saved)


def _write(path: Path, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, state=np.array(json.dumps(state)), **arrays)  # type: ignore[arg-type]


def _read(path: Path, only_state: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = json.loads(str(stored["state"]))
            if missing := _STATE - {*state}:
                raise KeyError(", ".join(missing))
            names = () if only_state else stored.files
            return {name: stored[name] for name in names if name != "state"}, state
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunError(f"{path} is not a readable checkpoint: {error}") from error
