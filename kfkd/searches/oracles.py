"""Keras Tuner's oracles, made to survive a kill and a row of bad trials.

What differs from the package's own (1.4.8): files are written whole or not at all; trials that
were running are gone on with after a kill at any moment, grids too, and the following ones have the
values that they would have had; the first trial is the published settings; Bayesian optimisation
never proposes the same trial twice; after `FAILURES` failures in a row the search stops by itself
instead of raising inside a lock that others wait for; and no trial is lost with a worker, see
`kfkd.searches.sharing`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cmp_to_key, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from keras_tuner import HyperParameters, Objective, oracles

from kfkd.errors import KfkdError
from kfkd.searches.plan import Plan
from kfkd.searches.sharing import Shared
from kfkd.storage.files import write_json
from kfkd.storage.leftovers import remove
from kfkd.storage.locks import LOCK, holder

FAILURES = 5
"""So many failed trials in a row end a search."""

_LARGE = 1000


class Lasting(Shared):
    """What all four oracles have in common; goes before one of keras-tuner's.

    Args:
        on_end: called with the oracle and a trial's number when it has ended, or failed.
        **settings: of `Shared` and the package's oracle.
    """

    def __init__(self, on_end: Callable[[Any, str], None], **settings: Any) -> None:
        super().__init__(**settings)
        self.on_end, self.failed_in_a_row = on_end, 0

    def save(self) -> None:
        """Writes the oracle's state."""
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self) -> None:
        """Reads the state; whatever was running then is to be run again.

        A trial's own file is written before the state: of one that the state does not know yet
        nothing is known but that it would have begun, and it begins anew, with the same values.
        """
        super().reload()
        for number in {*self.trials} - {*self.start_order}:
            remove(Path(self._get_trial_dir(number)))
        self.trials = {n: self.trials[n] for n in self.start_order if n in self.trials}
        running = {number for number, trial in self.trials.items() if trial.status == "RUNNING"}
        self._retry_queue = sorted(running, reverse=True)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next trial's values, see the package."""
        if self.failed_in_a_row >= FAILURES:
            return {"status": "STOPPED", "values": None}
        return super().populate_space(trial_id)

    def _random_values(self) -> dict[str, Any] | None:
        return super()._random_values() if self.start_order else dict(self.get_space().values)

    def end_trial(self, trial: Any) -> None:
        """Keeps a trial's end, and says it: the first one, where a lost worker comes back."""
        number = trial.trial_id
        with self._keeping():
            with self._lock:
                if self._ended_before(number):
                    return
                super().end_trial(trial)
                failed = self.trials[number].status != "COMPLETED"
                self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
                self.busy = True  # with tables and pictures
            try:
                self.on_end(self, number)
            finally:
                self.busy = False

    def _check_consecutive_failures(self) -> None:
        """Nothing: `populate_space` stops the search."""

    def planned(self, epochs: int) -> tuple[int, int]:
        """How many trials there will be at the most, and of how many epochs in all.

        Args:
            epochs: of a trial.
        """
        return self.max_trials, self.max_trials * epochs

    def wanted(self) -> set[str]:
        """Trials that others may go on from."""
        return set()


class Random(Lasting, oracles.RandomSearchOracle):
    """Values drawn at random."""


class Bayesian(Lasting, oracles.BayesianOptimizationOracle):
    """Values where a Gaussian process expects a small score or knows little."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next trial's values; random ones where the best guess was tried before."""
        # The package draws on from trial to trial, and after a kill it would begin anew.
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings(action="ignore"):  # the process may be unsure of its lengths
            found = super().populate_space(trial_id)
        if found["status"] == "RUNNING" and self._duplicate(found["values"]):
            return self._random_populate_space()
        return found


class Grid(Lasting, oracles.GridSearchOracle):
    """Every combination in turn."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes the state up, with the order of the trials, which the package forgets."""
        super().set_state(state)

        def compared(a: str, b: str) -> int:
            first, second = (self.trials[number].hyperparameters.values for number in (a, b))
            return self._compare(first, second)

        for number in sorted(self.start_order, key=cmp_to_key(compared)):
            self._ordered_ids.insert(number)
        self._populate_next = list(self.start_order)

    def planned(self, epochs: int) -> tuple[int, int]:
        """As of the others; conditional settings make it fewer."""
        size = grid_size(self.get_space())
        trials = min(size, self.max_trials or size)
        return trials, trials * epochs


class Hyperband(Lasting, oracles.HyperbandOracle):
    """Many short trials, the best of which go on."""

    def planned(self, epochs: int) -> tuple[int, int]:
        """The sum over all brackets' rounds."""
        trials = work = 0
        for bracket in range(self._get_num_brackets()):
            before = 0
            for number in range(self._get_num_rounds(bracket)):
                size, end = self._get_size(bracket, number), self._get_epochs(bracket, number)
                trials, work, before = trials + size, work + size * (end - before), end
        return min(trials, self.max_trials or trials), work

    def wanted(self) -> set[str]:
        """The best of each unfinished round, and what running trials go on from."""
        running = [t for t in self.trials.values() if t.status == "RUNNING"]
        found = {t.hyperparameters.values.get("tuner/trial_id", "") for t in running}
        for bracket in self._brackets:
            for number, past in enumerate(bracket["rounds"][:-1]):
                done = [self.trials[info["id"]] for info in past if info["id"] in self.trials]
                best = sorted((t for t in done if t.status == "COMPLETED"), key=lambda t: t.score)
                chosen = {info["past_id"] for info in bracket["rounds"][number + 1]}
                size = self._get_size(bracket["bracket_num"], number + 1)
                found |= {t.trial_id for t in best[:size]} - chosen
        return found


def grid_size(hp: HyperParameters) -> int:
    """How many combinations a grid has, conditional settings counted in full.

    Args:
        hp: with the space.
    """
    return prod(len({p.default, *p.values}) for p in hp.space)


def _holder(plan: Plan, number: str) -> str | None:
    """By whom the lock of a trial's folder is held."""
    folder = plan.trial(number)
    who = holder(folder)
    return who and f"{folder / LOCK} is held by {who}"


def oracle_for(
    plan: Plan,
    hp: HyperParameters,
    on_end: Callable[[Any, str], None],
    tell: Callable[[str], None],
) -> Random | Bayesian | Grid | Hyperband:
    """The oracle of a search.

    Args:
        plan: of the search, with its objective.
        hp: with the space declared.
        on_end: called with the oracle and a trial's number when it has ended.
        tell: told which workers are lost, and for whom the search waits.

    Raises:
        KfkdError: when a grid is too large to be meant.
    """
    settings: dict[str, Any] = {
        "objective": Objective(plan.objective, "min"),
        "hyperparameters": hp,
        # Keras Tuner takes 0 for no seed.
        "seed": plan.seed + 1,
        "on_end": on_end,
        "holder": partial(_holder, plan),
        "tell": tell,
    }
    if plan.tuner == "hyperband":
        band = Hyperband(max_epochs=plan.epochs, factor=plan.factor, **settings)
        band.max_trials = plan.trials
        return band
    if plan.tuner == "grid" and plan.trials is None and (size := grid_size(hp)) > _LARGE:
        raise KfkdError(
            f"this grid has {size:,} combinations; set how many trials at the most, or fix some "
            f"of {', '.join(p.name for p in hp.space)}"
        )
    if plan.tuner == "bayesian":
        # The package's three random trials a dimension are more than many a search has in all.
        first = max(3, min(3 * len(hp.space), (plan.trials or 0) // 3))
        return Bayesian(max_trials=plan.trials, num_initial_points=first, **settings)
    return (Grid if plan.tuner == "grid" else Random)(max_trials=plan.trials, **settings)
