"""What a search checks before it trains: its settings, and what its folder already holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.learning.checks import check
from kfkd.learning.settings import Settings, changed_recipe, chosen_mix
from kfkd.models.options import check_options
from kfkd.registry import entry
from kfkd.runs import finished_run
from kfkd.searches.plan import FILES, FOLDERS, RESULTS, Plan
from kfkd.searches.spaces import builder_options
from kfkd.storage.files import read_json
from kfkd.storage.kinds import NONE, check_kinds


def check_settings(plan: Plan, drawn: Mapping[str, Any]) -> None:
    """Refuses settings that no training would take, before anything is tried.

    Args:
        plan: of the search.
        drawn: settings of a trial.

    Raises:
        UnknownName: when a training has no such setting, or the builder no such option.
        KfkdError: when one makes no sense.
        RunError: when a run that it begins with or learns from is none, or unfinished.
    """
    found, given = entry(plan.model), dict(drawn)
    mix, copies = given.pop("augment", "published"), given.pop("copies", None)
    rest = {f.name: given.pop(f.name) for f in fields(Settings) if f.name in given}
    recipe, chosen, own = chosen_mix(changed_recipe(found, given), mix, copies)
    if own:
        raise KfkdError("a search wants a mix, its name or text: functions have no name to keep")
    asked: dict[str, Any] = {"subsets": (), "precision": "float32", "drop_incomplete": False}
    asked |= {"model": plan.model, "seed": plan.seed, "augment": None, "options": {}, **rest}
    check(Settings(**asked, recipe=recipe, mix=str(chosen) if chosen else None))
    for run in filter(None, (asked.get("start"), *(asked.get("teachers") or ()))):
        finished_run(run)
    check_options(drawn.get("options", {}))
    known = builder_options(found)
    takes = any(p.kind is p.VAR_KEYWORD for p in signature(found.build).parameters.values())
    for name in drawn.get("options", {}):
        if name not in known and not takes:
            raise UnknownName(f"option of {plan.model}", name, list(known))


def space_facts(hp: Any) -> list[dict[str, Any]]:
    """What a space varies, a row each: name, kind, range and published value.

    Args:
        hp: `keras_tuner.HyperParameters` that the space was declared in.
    """
    rows = [{"kind": type(p).__name__, **p.get_config(), "default": p.default} for p in hp.space]
    kept = ("name", "kind", "default", "values", "min_value", "max_value", "sampling")
    return json.loads(json.dumps([{k: row[k] for k in kept if k in row} for row in rows]))


_FACTS: Mapping[str, Any] = {
    **dict.fromkeys(("planned", "rows", "train", "validation"), int),
    **dict.fromkeys(("data", "precision", "command"), str),
    **dict.fromkeys(("finished", "own_space"), bool),
    "trials": (int, NONE),
}

SAME = (
    "model",
    "fingerprint",
    "tuner",
    "objective",
    "epochs",
    "factor",
    "seed",
    "settings",
    "space",
    "published",
)
"""Facts that all trials of a search share; a search with others is another one."""


def earlier_facts(out: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the search that a folder holds; {} where there is none.

    Args:
        out: the search's folder.
        facts: of this search.

    Raises:
        KfkdError: when the folder holds something else.
        RunError: when its search has other data, settings or another space.
    """
    for path in out.iterdir() if out.is_dir() else []:
        if not path.name.startswith(".") and path.name not in (*FILES, *FOLDERS):
            raise KfkdError(f"{out} holds something else, {path.name}; name another folder")
    if not (out / RESULTS).is_file():
        # A worker that comes before its chief makes empty folders.
        if [*out.glob("*/oracle.json"), *out.glob(f"{FOLDERS[0]}/*")]:
            raise KfkdError(f"{out} holds trials without their {RESULTS}; name another folder")
        return {}
    found = read_json(out / RESULTS)
    try:
        check_kinds(found, {"facts": dict}, ("facts",))
        check_kinds(found["facts"], _FACTS)
    except KfkdError as error:
        raise RunError(f"{out / RESULTS} is of no search: {error}") from error
    old: dict[str, Any] = found["facts"]
    if other := [key for key in SAME if old.get(key) != facts[key]]:
        told = "; ".join(f"{k}: received {facts[k]}, it has {old.get(k)}" for k in other)
        raise RunError(f"{out} holds a search with other {told}; name another folder")
    return old


def enough(facts: Mapping[str, Any], trials: int | None) -> bool:
    """Whether a search is finished, and had as many trials as are asked for.

    Args:
        facts: of the search.
        trials: asked for; None = as many as the tuner plans.
    """
    had = facts.get("trials")
    return bool(facts.get("finished")) and (had is None or (trials is not None and trials <= had))
