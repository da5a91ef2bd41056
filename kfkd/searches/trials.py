"""One trial of a search: a training into a run folder of its own, and what may go wrong with it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kfkd.errors import InUse, KfkdError, RunError, WriteError
from kfkd.faces import FaceSet
from kfkd.learning.settings import changed_recipe
from kfkd.learning.trainer import tidy
from kfkd.machine import machine
from kfkd.progress import Ticker
from kfkd.registry import entry
from kfkd.runs import RECORD, Run, load_run, save_record
from kfkd.searches.deaths import count_attempt
from kfkd.searches.plan import KEPT, NOTE, Plan
from kfkd.searches.scores import score_of
from kfkd.storage.files import unwritten, write_json
from kfkd.storage.leftovers import remove
from kfkd.training import train

_ATTEMPT = "attempt.json"


class BadTrial(Exception):
    """A trial came to nothing; the message says why."""


class Trials:
    """Runs trials.

    Args:
        plan: of the search, with its objective.
        faces: all rows, labelled.
        quiet: no progress.
    """

    def __init__(self, plan: Plan, faces: FaceSet, quiet: bool) -> None:
        self.plan, self.faces, self.quiet = plan, faces, quiet

    def run(self, number: str, hp: Any) -> float:
        """Trains a trial, or goes on with it.

        Args:
            number: the trial's.
            hp: `keras_tuner.HyperParameters` with its values.

        Returns:
            Its score.

        Raises:
            BadTrial: when it failed: loss no longer a number, out of memory, a net that cannot be
                built.
            WriteError: when the disk is full or may only be read, which is no trial's fault.
            InUse: when another process is still training it.
        """
        began, note, why = time.monotonic(), self.plan.beside(number, NOTE), ""
        earlier = 0.0
        score: float | None = None
        told = {"by": os.environ.get("KERASTUNER_TUNER_ID", ""), "machine": machine()["cpu"]}
        try:
            earlier = self._spent(number, hp)
            run = self._trained(number, hp)
            score, mean_face = score_of(run.metrics, str(self.plan.objective))
            if score is None:
                raise RunError(f"{run.folder} has no {self.plan.objective}")
        except (WriteError, InUse):
            raise
        except Exception as error:
            if told_why := unwritten(error):
                raise WriteError(f"trial {number}", told_why) from error
            why = reason(error)
        finally:
            remove(self.plan.beside(number, _ATTEMPT))
        told |= {"seconds": round(earlier + time.monotonic() - began, 1)}
        if score is not None and not why:
            write_json(note, {**told, "mean_face": mean_face})
            return score
        # Outside of `except`, so that the error lets go of the net that was too large.
        write_json(note, {**told, "reason": why})
        if self.plan.trial(number).is_dir():
            tidy(self.plan.trial(number))
        raise BadTrial(why)

    def _spent(self, number: str, hp: Any) -> float:
        """Seconds that earlier attempts took for their epochs; Hyperband's earlier rung apart."""
        folder, first = self.plan.trial(number), 0
        if not (folder / RECORD).is_file():
            return 0.0
        if self.plan.tuner == "hyperband" and _goes_on(self.plan.model, self.plan.drawn(hp)):
            first = hp.values.get("tuner/initial_epoch", 0)
        rows = [row for rows in load_run(folder).history().values() for row in rows]
        return sum(row.get("seconds", 0.0) for row in rows if row["epoch"] > first)

    def _trained(self, number: str, hp: Any) -> Run:
        folder, values = self.plan.trial(number), hp.values
        self._count(number, folder)
        _forget_models()
        settings = self.plan.drawn(hp)
        keep = None
        if self.plan.tuner == "hyperband":
            settings["epochs"] = values["tuner/epochs"]
            if _goes_on(self.plan.model, settings):
                self._go_on(number, values.get("tuner/trial_id"), settings["epochs"])
                keep = self.plan.beside(number, KEPT)
        watcher = Watcher(f"trial {number}", settings["epochs"], folder, keep, self.quiet)
        settings = {"seed": self.plan.seed, **settings}
        model = self.plan.model
        return train(model, self.faces, out=folder, callbacks=[watcher], quiet=True, **settings)

    def _count(self, number: str, folder: Path) -> None:
        """Passes over a trial in which the process dies again and again within the same epoch."""
        run = load_run(folder) if (folder / RECORD).is_file() else None
        if run is None or not run.finished:
            epochs = sum(map(len, run.history().values())) if run else 0
            count_attempt(self.plan.beside(number, _ATTEMPT), epochs)

    def _go_on(self, number: str, earlier: str | None, epochs: int) -> None:
        """Lays an earlier rung's state where the training finds it, as if it had been killed."""
        folder = self.plan.trial(number)
        if earlier is None or folder.exists():
            return
        kept, before = self.plan.beside(earlier, KEPT), self.plan.trial(earlier)
        if not kept.is_dir() or not (before / RECORD).is_file():
            return
        record = load_run(before).record
        record["settings"]["recipe"]["epochs"], record["status"] = epochs, "running"
        record["subsets"] = {}
        record.pop("metrics", None)
        beside = folder.with_name(f".{number}")
        shutil.rmtree(beside, ignore_errors=True)
        _link_all(kept, beside / "checkpoint")
        save_record(beside, record)
        beside.rename(folder)


def _goes_on(model: str, settings: Mapping[str, Any]) -> bool:
    """Whether more epochs continue fewer: not where rates or phases depend on their number."""
    fields = {k: settings[k] for k in ("schedule", "phases") if k in settings}
    recipe = changed_recipe(entry(model), fields)
    return recipe.schedule is None and not recipe.phases


def _forget_models() -> None:
    """Frees the last trial's net, which Keras and TensorFlow hold on to."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def _link_all(source: Path, target: Path) -> None:
    """The files of a folder as another one, whole or not at all; on disk once where that can be."""
    beside = target.with_name(f".{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for path in source.glob("[!.]*"):
        try:
            (beside / path.name).hardlink_to(path)
        except OSError:
            shutil.copy2(path, beside / path.name)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def reason(error: Exception) -> str:
    """Why a trial failed, in a line.

    Args:
        error: as raised by the training.

    Example:
        >>> reason(MemoryError())
        'out of memory (MemoryError)'
    """
    # TensorFlow names the graph's node first, at length.
    kind, text = type(error).__name__, re.sub(r"\{\{.*?\}\}", "", str(error))
    first = text.strip().partition("\n")[0][:300]
    told = f"{kind} {error}".lower()
    if any(word in told for word in _MEMORY):
        return f"out of memory ({kind}{f': {first}' if first else ''})"
    return first if isinstance(error, KfkdError) else f"{kind}: {first}"


_MEMORY = (
    "memoryerror",
    "resourceexhausted",
    "resource_exhausted",
    "out of memory",
    "oom when",
    "dst tensor is not initialized",
)
"""Words by which TensorFlow, XLA and Python say that memory is full."""


class Watcher(keras.callbacks.Callback):
    """Shows where a trial is, and keeps its last state for Hyperband's next rung.

    Args:
        title: what is trained.
        epochs: at the most.
        folder: the run's.
        keep: where the state is kept; None = not.
        quiet: no progress.
    """

    def __init__(
        self, title: str, epochs: int, folder: Path, keep: Path | None, quiet: bool
    ) -> None:
        super().__init__()
        self.title, self.epochs, self.folder, self.keep = title, epochs, folder, keep
        self.ticker = Ticker(quiet)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Shows the epoch, where someone watches."""
        error = (logs or {}).get("val_rmse", float("nan"))
        self.ticker.show(f"{self.title}: epoch {epoch + 1}/{self.epochs}, {error:.3f} px")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the state of the last epoch."""
        self.ticker.clear()
        if self.keep is not None and (self.folder / "checkpoint").is_dir():
            _link_all(self.folder / "checkpoint", self.keep)
