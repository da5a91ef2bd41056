"""What a search has found so far: its trials, read from its folder, and the best of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfkd.drawing.figures import save_figure
from kfkd.errors import KfkdError, RunError
from kfkd.runs import Run, load_run
from kfkd.searches.plan import FILES, FOLDERS, NOTE
from kfkd.storage.files import read_json, write_json, write_text
from kfkd.storage.kinds import ASKED, MAYBE, NONE, check_kinds, check_plain
from kfkd.storage.safe_reading import inside

_STATE: Mapping[str, Any] = {
    "trial_id": str,
    "status": str,
    "score": MAYBE,
    "hyperparameters": dict,
}
_NOTE: Mapping[str, Any] = {
    **dict.fromkeys(("mean_face", "seconds"), MAYBE),
    **dict.fromkeys(("reason", "by", "machine"), (str, NONE)),
}
_DRAWN = (str, int, float, bool, NONE)
_TUNERS: Mapping[str, Any] = {
    **dict.fromkeys(("epochs", "tuner/epochs", "tuner/initial_epoch"), int),
    "tuner/trial_id": (str, NONE),
}
_STATUS = {"COMPLETED": "finished", "FAILED": "failed", "INVALID": "failed"}


@dataclass(frozen=True)
class Search:
    """What a search found.

    Args:
        out: its folder.
        facts: what all trials have in common, and the command that repeats them.
        trials: each trial: number, status ("finished", "failed", "running"), score, the mean
            face's, values, epochs, the trial it went on from, seconds, reason where it failed,
            folder of its run, and by whom.
    """

    out: Path
    facts: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...]

    @property
    def ranked(self) -> tuple[Mapping[str, Any], ...]:
        """The finished trials, best first."""
        finished = [row for row in self.trials if row["status"] == "finished"]
        return tuple(sorted(finished, key=lambda row: row["score"]))

    @property
    def best(self) -> Run:
        """The best trial's run: evaluate it, predict and submit with it.

        Raises:
            RunError: when no trial is finished, or its folder is gone.
        """
        if not self.ranked:
            raise RunError(f"{self.out} has no finished trial yet")
        return load_run(inside(self.out, self.ranked[0]["folder"]))

    def table(self) -> str:
        """The search as Markdown: settings, and the trials, best first."""
        from kfkd.searches.text import as_markdown

        return as_markdown(self)

    __str__ = table

    def as_dict(self) -> dict[str, Any]:
        """The search as plain data."""
        best = self.ranked[0]["trial"] if self.ranked else None
        return {"facts": dict(self.facts), "best": best, "trials": [dict(r) for r in self.trials]}


def read_search(out: Path, facts: Mapping[str, Any]) -> Search:
    """The search in a folder, as its trials' files have it.

    Args:
        out: the search's folder.
        facts: of the search.
    """
    files = sorted((out / FOLDERS[1]).glob("trial_*/trial.json"))
    rows = [_row(out, path, int(facts["epochs"])) for path in files]
    return Search(out, facts, tuple(sorted(rows, key=lambda row: int(row["trial"]))))


def _row(out: Path, path: Path, epochs: int) -> dict[str, Any]:
    state, note = read_json(path), path.with_name(NOTE)
    told = read_json(note) if note.is_file() else {}
    try:
        values = _checked(state, told)
    except KfkdError as error:
        raise RunError(f"{path} is of no trial: {error}") from error
    tuners = {key: values.pop(key) for key in list(values) if key.startswith("tuner/")}
    return {
        "trial": state["trial_id"],
        "status": _STATUS.get(state["status"], "running"),
        "score": state.get("score"),
        "mean_face": told.get("mean_face"),
        "values": values,
        "epochs": tuners.get("tuner/epochs", values.get("epochs", epochs)),
        "from": tuners.get("tuner/trial_id"),
        "first_epoch": tuners.get("tuner/initial_epoch", 0),
        "seconds": told.get("seconds"),
        "reason": told.get("reason"),
        "folder": f"{FOLDERS[0]}/{state['trial_id']}",
        "by": told.get("by") or None,
        "machine": told.get("machine"),
    }


def _checked(state: Any, told: Any) -> dict[str, Any]:
    """A trial's values, as long as its files are what a search writes: they may be anyone's."""
    check_kinds(state, _STATE, _STATE)
    check_kinds(state["hyperparameters"], {"values": dict}, ("values",))
    check_kinds(told, _NOTE, ("mean_face",) if state["status"] == "COMPLETED" else ())
    values = state["hyperparameters"]["values"]
    check_kinds(values, {**dict.fromkeys(values, _DRAWN), **_TUNERS})
    check_plain([state.get("score"), told])
    check_plain(values, ASKED)
    if not re.fullmatch("[0-9]{1,9}", state["trial_id"]):
        raise KfkdError(f"its number is {state['trial_id']!r:.40}")
    if state["status"] == "COMPLETED" and state.get("score") is None:
        raise KfkdError("it is finished, and has no score")
    return dict(values)


def save_search(found: Search) -> None:
    """Writes a search's results.json, before it table and picture where there are trials.

    Args:
        found: what is known so far.
    """
    from kfkd.searches.pictures import trials_picture

    results, table, picture = (found.out / name for name in FILES)
    if found.trials:
        write_text(table, found.table())
    if found.ranked:
        save_figure(trials_picture(found), picture)
    # The last one: where it says that the search is finished, nobody writes the others again.
    write_json(results, found.as_dict())
