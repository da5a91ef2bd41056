"""What a search is to try: entry, tuner, space, folders, and the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, UnknownName
from kfkd.searches.spaces import Space
from kfkd.storage.safe_reading import inside

TUNERS: Mapping[str, str] = {
    "random": "RandomSearch",
    "bayesian": "BayesianOptimization",
    "hyperband": "Hyperband",
    "grid": "GridSearch",
}
"""Tuners by our names, with those of keras-tuner."""

FOLDERS = ("trials", "search")
"""Folders of a search: the trials' runs, and keras-tuner's own files."""

RESULTS = "results.json"
FILES = (RESULTS, "table.md", "trials.png")
"""What lies beside them."""

NOTE, KEPT = "kfkd.json", "checkpoint"
"""What is kept of a trial besides its run: how it went, and what Hyperband's next rung goes on
from."""

_TRIALS = 20


@dataclass(frozen=True)
class Plan:
    """What is to be tried.

    Args:
        out: the search's folder.
        model: entry of the zoo.
        tuner: one of `TUNERS`.
        trials: at the most; None = as many as the tuner plans.
        epochs: of a trial, at the most.
        factor: of Hyperband: how many times fewer trials go on, with so many times the epochs.
        seed: of split, initialisation, order, augmentation and tuner.
        settings: fixed ones, as `kfkd.train` takes them.
        space: what is varied.
        own_space: whether the space is the user's.
        objective: the score to make small; None = not chosen yet.
    """

    out: Path
    model: str
    tuner: str
    trials: int | None
    epochs: int
    factor: int
    seed: int
    settings: Mapping[str, Any]
    space: Space
    own_space: bool
    objective: str | None = None

    @property
    def engine(self) -> Path:
        """The folder of keras-tuner's own files."""
        return self.out / FOLDERS[1]

    def trial(self, number: str) -> Path:
        """The run folder of a trial, whose number may come out of anyone's file."""
        return inside(self.out / FOLDERS[0], number)

    def beside(self, number: str, name: str) -> Path:
        """A file or folder that is kept of a trial besides its run."""
        return inside(self.engine, f"trial_{number}/{name}")

    def drawn(self, hp: Any) -> dict[str, Any]:
        """The settings of a trial: what the space draws and what is fixed.

        Args:
            hp: `keras_tuner.HyperParameters` with the trial's values.

        Raises:
            KfkdError: when the space gives no settings, or one that is fixed.
        """
        found = self.space(hp)
        if not isinstance(found, Mapping):
            raise KfkdError(f"a space returns settings of kfkd.train. Received: {found!r:.200}")
        options = dict(found.get("options") or {})
        fixed = self.settings.get("options", {})
        twice = [k for k in found if k != "options" and k in self.settings]
        twice += [k for k in options if k in fixed]
        if self.tuner == "hyperband" and "epochs" in found:
            twice.append("epochs")
        if twice:
            raise KfkdError(f"the space draws what is set already: {', '.join(twice)}")
        return {"epochs": self.epochs, **self.settings, **found, "options": {**fixed, **options}}

    def command(self, data: str | None) -> str:
        """What repeats the search: a shell's line, or Python's where it wants more than that.

        Args:
            data: as given by its path, None = faces in memory.
        """
        told = dict(self.settings)
        plain = {**told.pop("options", {}), **told}
        kinds = str | int | float | None
        simple = all(isinstance(v, kinds) for k, v in plain.items() if k != "subsets")
        if data is None or self.own_space or not simple:
            return self._call(data)
        words = ["kfkd", "tune", self.model, "--data", data, "--tuner", self.tuner]
        given: dict[str, Any] = {"trials": self.trials, "epochs": self.epochs, "seed": self.seed}
        given |= {"factor": self.factor} if self.tuner == "hyperband" else {}
        given |= {"objective": self.objective, "precision": plain.pop("precision", None)}
        words += [w for k, v in given.items() if v is not None for w in (f"--{k}", str(v))]
        if subsets := plain.pop("subsets", None):
            words += ["--subsets", *([subsets] if isinstance(subsets, str) else subsets)]
        if plain:
            words += ["--fix", *(f"{k}={v}" for k, v in plain.items())]
        return shlex.join([*words, "--out", str(self.out)])

    def _call(self, data: str | None) -> str:
        named = {"tuner": self.tuner, "trials": self.trials, "epochs": self.epochs}
        named |= {"factor": self.factor} if self.tuner == "hyperband" else {}
        named |= {"objective": self.objective, "seed": self.seed}
        named = {k: v for k, v in named.items() if v is not None}
        named |= {**self.settings, "out": str(self.out)}
        words = ", ".join(f"{key}={value!r}" for key, value in named.items())
        words += f", space={getattr(self.space, '__name__', 'space')}" if self.own_space else ""
        return f"kfkd.tune({self.model!r}, {'faces' if data is None else repr(data)}, {words})"


def tuner_called(name: str) -> str:
    """Our name of a tuner.

    Args:
        name: ours or keras-tuner's, in any case.

    Raises:
        UnknownName: when there is no such tuner.
    """
    told = str(name).lower()
    ours = {package.lower(): own for own, package in TUNERS.items()}
    if told not in TUNERS and told not in ours:
        raise UnknownName("tuner", str(name), [*TUNERS, *TUNERS.values()])
    return ours.get(told, told)


def usual_trials(tuner: str, trials: int | None) -> int | None:
    """How many trials at the most: as asked, else 20 where the tuner has no plan of its own."""
    return _TRIALS if trials is None and tuner in ("random", "bayesian") else trials
