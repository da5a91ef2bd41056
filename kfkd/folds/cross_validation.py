"""A cross-validation's folder: what was trained, what it scored, and opening it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, RunError
from kfkd.folds.scores import scores_table
from kfkd.storage.files import read_json
from kfkd.storage.kinds import NONE, NUMBER, check_kinds, check_plain
from kfkd.storage.safe_reading import inside
from kfkd.submissions.out_of_fold import OutOfFold, read_out_of_fold

RESULTS, TABLE, PREDICTIONS = "results.json", "table.md", "oof.npz"
KIND = "cross-validation"


@dataclass(frozen=True)
class CrossValidation:
    """What several models' folds came to.

    Args:
        out: the folder.
        facts: data, folds, rows that the clean figures leave out, and the command that repeats it.
        models: by name: settings, seeds, "folds" (a row each), scores of all out-of-fold
            predictions of each seed, "seed_scores", and of their mean over the seeds, "pooled",
            and "fault" where they are broken.
    """

    out: Path
    facts: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]

    @property
    def finished(self) -> bool:
        """Whether every fold of every model is trained."""
        return all(
            len(model["folds"]) == len(model["seeds"]) * self.facts["k"]
            for model in self.models.values()
        )

    def out_of_fold(self, model: str) -> OutOfFold:
        """A model's out-of-fold predictions.

        Raises:
            RunError: when they are absent or broken.
        """
        return read_out_of_fold(inside(self.out, f"{model}/{PREDICTIONS}"))

    def run_folders(self, model: str) -> list[Path]:
        """The run folders of a model, seed by seed.

        Raises:
            KfkdError: when one lies outside of the cross-validation's.
        """
        return [inside(self.out, row["folder"]) for row in self.models[model]["folds"]]

    def as_dict(self) -> dict[str, Any]:
        """The cross-validation as plain data."""
        return {"kind": KIND, "facts": dict(self.facts), "models": dict(self.models)}

    def table(self) -> str:
        """The cross-validation as Markdown."""
        facts = self.facts
        lines = [
            f"{facts['k']} folds of {facts['rows']:,} rows ({facts['data']}), fold seed "
            f"{facts['fold_seed']}: every row is predicted by models that never saw it nor its "
            "like. Mean faces are of the training folds.",
        ]
        if without := facts["without"]:
            lines.append(
                f"clean: without {len(without['rows'])} of the {without['listed']} rows named "
                "(the others are not in this data)."
                if without["listed"] > len(without["rows"])
                else f"clean: without {len(without['rows'])} rows named."
            )
        lines.append(scores_table(self._rows()))
        lines += [f"**{name} is broken: {m['fault']}**" for name, m in self._broken()]
        if not self.finished:
            lines.insert(0, "**Unfinished.**")
        return "\n\n".join([*lines, f"Repeat: `{facts['command']}`"]) + "\n"

    __str__ = table

    def _rows(self) -> list[tuple[str, dict[str, Any]]]:
        rows = []
        for name, model in self.models.items():
            by_seed, count = model.get("seed_scores", {}), len(model["seeds"])
            rows += [(f"**{name}**, seed {seed}", scores) for seed, scores in by_seed.items()]
            # Of one seed the mean over the seeds is that seed's, and stands there already.
            if model["pooled"] and (count > 1 or not by_seed):
                told = f"seed {model['seeds'][0]}" if count == 1 else f"mean of {count} seeds"
                rows.append((f"**{name}**, {told}", model["pooled"]))
            rows += [
                (f"{name}, seed {row['seed']}, fold {row['fold']}", row["scores"])
                for row in model["folds"]
            ]
        return rows

    def _broken(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(name, model) for name, model in self.models.items() if model["fault"]]


def load_cross_validation(folder: str | Path) -> CrossValidation:
    """Opens the folder that `kfkd.cross_validate` left.

    Raises:
        RunError: when it holds none, or a broken one.
    """
    folder = Path(folder).expanduser()
    try:
        found = read_json(folder / RESULTS)
    except KfkdError as error:
        raise RunError(f"{folder} is no cross-validation: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise RunError(f"{folder / RESULTS} is of no cross-validation")
    try:
        _check(found)
    except KfkdError as error:
        raise RunError(f"{folder / RESULTS} is broken: {error}") from error
    return CrossValidation(folder, found["facts"], found["models"])


_FACTS: Mapping[str, Any] = {
    **dict.fromkeys(("k", "fold_seed", "rows"), int),
    **dict.fromkeys(("data", "fingerprint", "command"), str),
    "without": (dict, NONE),
}
_MODEL: Mapping[str, Any] = {
    **dict.fromkeys(("folds", "seeds"), list),
    **dict.fromkeys(("pooled", "settings"), (dict, NONE)),
    "fault": (str, NONE),
}
_ROW: Mapping[str, Any] = {
    **dict.fromkeys(("seed", "fold"), int),
    **dict.fromkeys(("folder", "created"), str),
    "seconds": NUMBER,
    "scores": dict,
}


def _check(found: dict[str, Any]) -> None:
    """Refuses what no cross-validation leaves; the file may come from anyone."""
    check_plain(found)
    check_kinds(found, {"facts": dict, "models": dict}, ("facts", "models"))
    check_kinds(found["facts"], _FACTS, _FACTS)
    if without := found["facts"]["without"]:
        check_kinds(without, {"listed": int, "rows": list}, ("listed", "rows"), "without")
        if not all(type(row) is int for row in without["rows"]):
            raise KfkdError("its rows want numbers")
    for name, model in found["models"].items():
        check_kinds(model, {**_MODEL, "seed_scores": dict}, _MODEL, name)
        if not all(type(seed) is int for seed in model["seeds"]):
            raise KfkdError(f"{name:.60}: seeds want numbers")
        for row in model["folds"]:
            check_kinds(row, _ROW, ("seed", "fold", "folder"), name)


def is_cross_validation(folder: str | Path) -> bool:
    """Whether a folder holds a cross-validation, finished or not."""
    try:
        load_cross_validation(folder)
    except RunError:
        return False
    return True
