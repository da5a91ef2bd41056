"""A search under Keras Tuner: alone, or as the chief or a worker of several processes."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from keras_tuner import HyperParameters
from keras_tuner.engine.base_tuner import BaseTuner

from kfkd.errors import KfkdError, RunError
from kfkd.faces import FaceSet
from kfkd.progress import say
from kfkd.searches.calls import Ended, Line, beating, serve
from kfkd.searches.checks import earlier_facts, enough
from kfkd.searches.oracles import FAILURES, oracle_for
from kfkd.searches.plan import FOLDERS, KEPT, Plan
from kfkd.searches.results import Search, read_search, save_search
from kfkd.searches.scores import shown
from kfkd.searches.text import progress_line
from kfkd.searches.trials import BadTrial, Trials
from kfkd.storage.files import make_folder, write_json

_PAUSE = 0.5  # seconds between a worker's questions for a trial


def role() -> str:
    """What this process does in a search: "chief" hands trials out, "worker" or "alone"."""
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return "alone"
    return "chief" if "chief" in os.environ["KERASTUNER_TUNER_ID"] else "worker"


class Engine(BaseTuner):
    """Keras Tuner's loop over the trials of a search.

    Args:
        plan: of the search, with its objective.
        facts: what all trials have in common.
        faces: all rows, labelled.
        hp: with the space declared.
        quiet: no progress.

    Raises:
        KfkdError: when a grid is too large to be meant.
    """

    def __init__(
        self, plan: Plan, facts: dict[str, Any], faces: FaceSet, hp: HyperParameters, quiet: bool
    ) -> None:
        oracle = oracle_for(plan, hp, self._ended, lambda told: say(told, quiet))
        trials, self.work = oracle.planned(plan.epochs)
        self.plan, self.facts, self.quiet = plan, {**facts, "planned": trials}, quiet
        self.trials = Trials(plan, faces, quiet)
        if self.role != "worker":
            save_search(read_search(plan.out, self.facts))
        make_folder(plan.engine)  # Keras Tuner's error would be TensorFlow's
        try:
            with redirect_stdout(StringIO()):
                super().__init__(oracle, directory=str(plan.out), project_name=FOLDERS[1])
        except KfkdError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            told = f"{plan.engine} holds no search that goes on: {error!r:.200}"
            raise RunError(told) from error
        # The package's own loop saves after a trial only; one that is killed before is to go on.
        self.save()

    @property
    def role(self) -> str:
        """What the process has to do, see `role`."""
        return role()

    def search(self, *arguments: Any, **settings: Any) -> Search:
        """Runs the trials, and returns what they came to.

        Raises:
            RunError: when trials failed in a row, or none came to anything.
            KfkdError: when the address is taken or the chief does not answer.
        """
        say(self._greeting(), self.quiet)
        self._searched()
        gave_up = self.role != "worker" and self.oracle.failed_in_a_row >= FAILURES
        found = read_search(self.plan.out, self.facts)
        running = any(row["status"] == "running" for row in found.trials)
        found = replace(found, facts={**self.facts, "finished": not gave_up and not running})
        if self.role != "worker":
            self._forget(set())
            save_search(found)
        if gave_up or not found.ranked:
            reasons = [row["reason"] for row in found.trials if row["status"] == "failed"]
            count = f"{FAILURES} trials in a row" if gave_up else "all trials"
            raise RunError(f"{count} failed, the first one: {(reasons or ['unknown'])[0]}")
        return found

    def _greeting(self) -> str:
        plan, place = self.plan, self._address()
        line = f"{plan.model}: {plan.tuner} search of {self.facts['planned']} trials at most, "
        line += f"{plan.epochs} epochs, objective {plan.objective} → {plan.out}"
        told = {"chief": f"; waiting for workers at {place}", "worker": f"; chief at {place}"}
        return line + told.get(self.role, "")

    def _address(self) -> str:
        return ":".join(os.environ.get(f"KERASTUNER_ORACLE_{part}", "") for part in ("IP", "PORT"))

    def _searched(self) -> None:
        if self.role == "alone":
            super().search(verbose=0)
            return
        from grpc import RpcError

        try:
            if self.role == "worker":
                self.oracle.stub = Line(self.oracle.stub, self._over)
                with suppress(Ended):
                    super().search(verbose=0)
                return
            self.oracle.verbose = 0
            serve(self.oracle, self._address())
        except RpcError as error:
            raise KfkdError(f"the search's chief does not answer: {error}") from error
        except RuntimeError as error:
            if "bind" not in str(error).lower():
                raise
            raise KfkdError(f"the chief cannot listen at its address: {error}") from error

    def _over(self) -> bool:
        """Whether the folder says that the search has ended."""
        try:
            return enough(earlier_facts(self.plan.out, self.facts), self.plan.trials)
        except KfkdError:  # a network file system may fail to read what is just being replaced
            return False

    def _get_tuner_fname(self) -> str:
        return str(Path(self.project_dir) / "tuner.json")

    def save(self) -> None:
        """Writes the state, whole or not at all; a worker has none."""
        if self.role != "worker":
            self.oracle.save()
            write_json(self._get_tuner_fname(), self.get_state())

    def pre_create_trial(self) -> None:
        """Lets the chief breathe: a worker that has to wait asks again at once."""
        if self.role == "worker":
            time.sleep(_PAUSE)

    def run_trial(self, trial: Any, **settings: Any) -> dict[str, float]:
        """Trains a trial."""
        objective, shared = str(self.plan.objective), self.role == "worker"
        with beating(lambda: self.oracle.get_trial(trial.trial_id)) if shared else nullcontext():
            score = self.trials.run(trial.trial_id, trial.hyperparameters)
        say(
            f"trial {trial.trial_id}: {shown(score, objective)}", self.quiet or self.role == "alone"
        )
        return {objective: score}

    def _try_run_and_update_trial(self, trial: Any, *arguments: Any, **settings: Any) -> None:
        """As the package's, which prints the whole traceback of a trial that fails."""
        try:
            self._run_and_update_trial(trial)
            trial.status = "COMPLETED"
        except BadTrial as bad:
            say(f"trial {trial.trial_id} failed: {bad}", self.quiet or self.role == "alone")
            trial.status, trial.message = "FAILED", str(bad)

    def _ended(self, oracle: Any, number: str) -> None:
        """Says and writes what a trial came to, in the process that has the oracle."""
        found = read_search(self.plan.out, self.facts)
        save_search(found)
        row = next(row for row in found.trials if row["trial"] == number)
        say(progress_line(found, row, self.work), self.quiet)
        self._forget(oracle.wanted())

    def _forget(self, wanted: set[str]) -> None:
        """Removes the states of trials that no other will go on from."""
        for folder in self.plan.engine.glob("trial_*"):
            if folder.name.removeprefix("trial_") not in wanted:
                for name in (KEPT, f".{KEPT}"):  # the hidden one is left of a killed process
                    shutil.rmtree(folder / name, ignore_errors=True)
