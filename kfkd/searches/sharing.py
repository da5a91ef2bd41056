"""A search that several processes share, and what becomes of a worker's trial when it is gone.

A worker is heard of when it asks for a trial and, while it trains, now and then. After `SILENCE`
seconds without a word it is lost, and its trial goes to whoever asks next, unless somebody holds
the lock of the trial's folder: a process that stands still, or cannot reach the chief, may yet go
on. The lock alone would not tell: it is taken a moment after the trial is and let go before its
score arrives, and some network file systems keep each machine's locks to itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_tuner import Oracle

from kfkd.errors import WriteError
from kfkd.progress import duration

LOOK, SILENCE = 1.0, 60.0
"""Seconds between the chief's looks at its workers, and those after which a silent one is lost."""

_AGAIN = 1800.0  # seconds until the same wait is told once more


class Shared(Oracle):
    """An oracle that loses no trial with a worker; goes before one of keras-tuner's.

    It has a lock of its own: the package's stays taken for ever when a call raises.

    Args:
        holder: says of a trial by whom which lock of its folder is held; None = by nobody, as far
            as the file system tells.
        tell: told, in a sentence, who is lost and for whom the search waits.
        **settings: of the package's oracle.
    """

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]
    _retry_queue: list[str]
    tuner_ids: set[str]

    def __init__(
        self, holder: Callable[[str], str | None], tell: Callable[[str], None], **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.holder, self.tell = holder, tell
        self.stopped = self.busy = False
        self._lock = threading.RLock()
        self._unwritten: WriteError | None = None
        self._clock, self._looked = 0.0, time.monotonic()
        self._heard: dict[str, float] = {}
        self._worker_of: dict[str, str] = {}
        self._told: dict[str, float] = {}

    def create_trial(self, tuner_id: str) -> Any:
        """The next trial of a worker, which waits as long as one that runs may come back to it."""
        with self._keeping(), self._lock:
            self._heard[tuner_id] = self._clock
            self._take_back()
            trial = super().create_trial(tuner_id)
            if trial.status == "STOPPED" and self.ongoing_trials:
                trial.status = "IDLE"
                self.tuner_ids.add(tuner_id)
            self.stopped = trial.status == "STOPPED"
            if trial.status == "RUNNING":
                self._worker_of[trial.trial_id] = tuner_id
            return trial

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """Keeps a trial's scores, see the package."""
        with self._keeping(), self._lock:
            return super().update_trial(trial_id, metrics, step)

    def get_trial(self, trial_id: str) -> Any:
        """A trial, for which a worker asks as a sign of life."""
        if trial_id in self._worker_of:
            self._heard[self._worker_of[trial_id]] = self._clock
        return super().get_trial(trial_id)

    def over(self) -> bool:
        """Whether no worker is there any more, and none is wanted; says whom it waits for.

        To be asked every `LOOK` seconds. The clock that workers are judged by stands still while
        the chief itself does, or is busy and does not listen.

        Raises:
            WriteError: when a worker's call could not write, which that worker alone has heard of.
        """
        with self._lock:
            if self._unwritten is not None:
                raise self._unwritten
            now = time.monotonic()
            self._clock += 0 if self.busy else min(now - self._looked, 2 * LOOK)
            self._looked = now
            self._take_back()
            for worker in self.tuner_ids - {*self.ongoing_trials}:
                if self._silent(worker):
                    self.tuner_ids.discard(worker)
            there = bool(self.tuner_ids or self.ongoing_trials)
            if self._heard and not there and not self.stopped:
                self._tell(
                    "no worker is left: start one again, with the same command and any "
                    "KERASTUNER_TUNER_ID, and the search goes on"
                )
            return self.stopped and not there

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """Keeps what could not be written in a worker's call, for the chief to end with."""
        try:
            yield
        except WriteError as error:
            self._unwritten = error
            raise

    def _ended_before(self, number: str) -> bool:
        """Whether a trial has ended; then nobody has it, or waits for it, any more."""
        self._retry_queue = [waiting for waiting in self._retry_queue if waiting != number]
        if number not in self.end_order:
            return False
        for worker, trial in [*self.ongoing_trials.items()]:
            if trial.trial_id == number:
                del self.ongoing_trials[worker]
        trial = self.trials[number]
        if trial.status == "RUNNING":
            has_score = trial.score is not None and trial.score == trial.score
            trial.status = "COMPLETED" if has_score else "FAILED"
        return True

    def _take_back(self) -> None:
        """The trials of workers that are gone are the next ones."""
        for worker, trial in [*self.ongoing_trials.items()]:
            if not self._silent(worker):
                continue
            number, silence = trial.trial_id, f"not heard of for {duration(SILENCE)}"
            if self._ended_before(number):
                continue
            if who := self.holder(number):
                self._tell(
                    f"waiting for trial {number}: {worker} was {silence}, but {who}; end that "
                    "process, or, where its machine is gone for good, remove that file, and the "
                    "trial goes to whoever asks next"
                )
                continue
            del self.ongoing_trials[worker]
            self.tuner_ids.discard(worker)
            self._retry_queue.append(number)
            self.tell(f"{worker} is lost, {silence}: trial {number} goes to whoever asks next")

    def _silent(self, worker: str) -> bool:
        return self._clock - self._heard.get(worker, float("-inf")) > SILENCE

    def _tell(self, message: str) -> None:
        """Tells of a wait once, and then rarely."""
        now = time.monotonic()
        if now - self._told.get(message, -_AGAIN) >= _AGAIN:
            self._told[message] = now
            self.tell(message)
