"""Checkpoints after every epoch, so that a killed training goes on to the same result.

One `.npz` a subset holds what the next epoch depends on: weights, random states of dropout,
the optimiser's moments and rate, the callbacks' counters, and the history. The order of the rows
depends on seed and epoch alone. Best weights lie in a file of their own, written only when they
change. No pickle is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kfkd.errors import RunError
from kfkd.machines.cluster import Machines
from kfkd.storage.files import bytes_of, replacing
from kfkd.storage.stored_arrays import read_arrays, told

_STATE = {"epoch", "stopped", "best_epoch", "history", "counters"}
_EPOCHS = ("epoch", "best_epoch")
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
        machines: that train together; one of them writes and reads.
    """

    def __init__(
        self,
        path: Path,
        others: Sequence[keras.callbacks.Callback],
        history: list[dict[str, float]],
        machines: Machines = Machines(),  # noqa: B008  (frozen)
    ) -> None:
        super().__init__()
        self.path, self.others, self.history = path, list(others), history
        self.machines = machines
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
        arrays, state = self._read(self.path)
        self.history[:] = state["history"]
        self.counters, self.stopped = state["counters"], state["stopped"]
        self.model.optimizer.build(self.model.trainable_variables)
        _assign(_kept(self.model), arrays, "model", self.path)
        _assign(self.model.optimizer.variables, arrays, "optimizer", self.path)
        if state["best_epoch"] >= 0:
            self.best_weights = self._best(self._best_path(state["best_epoch"]))
        return state["epoch"]

    def _best(self, path: Path) -> list[np.ndarray]:
        stored, _ = self._read(path)
        names = [f"best_{i}" for i in range(len(stored))]
        best = [stored[name] for name in names if name in stored]
        if [weight.shape for weight in best] != [tuple(v.shape) for v in self.model.weights]:
            raise RunError(f"{path} belongs to another model")
        return best

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Puts the other callbacks' counters back: their own `on_train_begin` reset them."""
        for callback, counters in zip(self.others, self.counters, strict=False):
            for name in _names(callback):  # and nothing else that a file may name
                if counters.get(name) is not None:
                    setattr(callback, name, counters[name])
            if isinstance(callback, keras.callbacks.EarlyStopping) and self.best_weights:
                callback.best_weights = self.best_weights

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the state: best weights first, then what refers to them."""
        if not self.machines.writes:
            return
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

    def _read(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if not self.machines.together:
            return _read(path)
        return _read(path, BytesIO(self.machines.told_bytes(path.read_bytes)))

    def _best_path(self, epoch: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-best-{epoch}.npz")


def saved_epoch(path: Path) -> int:
    """How many epochs a checkpoint has behind it; 0 where there is none."""
    return int(_read(path, only_state=True)[1]["epoch"]) if path.is_file() else 0


def _kept(model: keras.Model) -> list[Any]:
    metrics = {id(v) for v in model.metrics_variables}
    return [v for v in model.variables if id(v) not in metrics]


def _names(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    return next((n for kind, n in _COUNTERS.items() if isinstance(callback, kind)), ())


def _counters(callback: keras.callbacks.Callback) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(callback, name, None) for name in _names(callback)}
    return {k: v.item() if hasattr(v, "item") else v for k, v in values.items()}


def _assign(variables: Sequence[Any], arrays: dict[str, np.ndarray], kind: str, path: Path) -> None:
    for i, variable in enumerate(variables):
        saved = arrays.get(f"{kind}_{i}")
        if (
            saved is None
            or saved.dtype.kind not in "biuf"
            or tuple(saved.shape) != tuple(variable.shape)
        ):
            raise RunError(f"{path} belongs to another model: {variable.path} does not fit")
        variable.assign(saved)


def _write(path: Path, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    with replacing(path, bytes_of(arrays)) as beside, beside.open("wb") as file:
        np.savez(file, state=np.array(json.dumps(state)), **arrays)  # type: ignore[arg-type]


def _read(
    path: Path, content: BytesIO | None = None, only_state: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        arrays = read_arrays(path, ("state",) if only_state else None, content)
        state = told(arrays.pop("state"))
        _check_state(state)
        return arrays, state
    except (ValueError, KeyError) as error:
        raise RunError(f"{path} is not a readable checkpoint: {error}") from error


def _check_state(state: Any) -> None:
    """Refuses what is no training's state; the file of the best weights has its keys alone."""
    if not isinstance(state, dict) or _STATE - {*state}:
        raise ValueError("it lacks a state")
    if all(value is None for value in state.values()):
        return
    whole = all(type(state[key]) is int and -1 <= state[key] < 10**9 for key in _EPOCHS)
    lists = [state["history"], state["counters"]]
    if not whole or not isinstance(state["stopped"], bool) or state["epoch"] < 1:
        raise ValueError("its state is none of a training")
    if not all(isinstance(rows, list) and all(map(_is_row, rows)) for rows in lists):
        raise ValueError("its state holds what is no number")
    if any(not {"epoch", "rmse", "seconds"} <= {*row} for row in state["history"]):
        raise ValueError("its history lacks numbers")


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(v, int | float | None) for v in row.values())
