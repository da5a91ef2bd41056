"""In which settings a run differs from its zoo entry, as short texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kfkd.errors import UnknownName
from kfkd.learning.settings import published_recipe, shown_runs, whole_recipe
from kfkd.registry import Entry, entry
from kfkd.runs import Run


def changes_of(run: Run) -> list[str] | None:
    """What a run was trained with that its entry does not say, such as "epochs=20".

    Args:
        run: of any model.

    Returns:
        A text for each setting of recipe, codec, options, data and split; None where the zoo has
        no such entry, as of a model that another script registered.
    """
    try:
        found = entry(run.name)
    except UnknownName:
        return None
    settings = run.record["settings"]
    published = published_recipe(found)
    told = whole_recipe(settings["recipe"])
    recipe = {key: told.get(key, usual) for key, usual in published.items()}
    if settings.get("augment"):
        recipe["augment"] = settings["augment"]
    changes = [*_differences("", recipe, published), *_codec(run, found)]
    changes += _differences("options.", settings.get("options") or {}, {})
    return changes + _others(run, found)


def _differences(prefix: str, found: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        known = usual.get(key)
        if value == known and key in usual:
            continue
        if isinstance(value, dict) and isinstance(known, dict):
            yield from _differences(f"{prefix}{key}.", value, known)
        else:
            yield f"{prefix}{key}={_text(value)}"


def _codec(run: Run, found: Entry) -> Iterator[str]:
    own = json.loads(json.dumps(found.codec.config()))
    for subset in run.subsets:
        codec = run.record["subsets"][subset]["codec"]
        if codec["codec"] != own["codec"]:
            yield f"codec={codec['codec']}"
        else:
            yield from _differences("codec.", codec, own)
        return  # all subsets of an entry have one codec


def _others(run: Run, found: Entry) -> list[str]:
    settings, origin = run.record["settings"], run.record["data"]["origin"]
    seed, split = settings["seed"], settings.get("split_seed")
    precision = settings.get("precision", "float32")
    told = {
        "subsets": None if tuple(run.subsets) == found.subsets else "+".join(run.subsets),
        "precision": None if precision == "float32" else precision,
        "drop_incomplete": settings.get("drop_incomplete") or None,
        "data": None if origin == found.dataset else origin,
        "split_seed": None if split in (None, seed) else split,
        "fold": "/".join(map(str, settings["fold"])) if settings.get("fold") else None,
        **shown_runs(settings),
        "teacher_share": settings.get("teacher_share"),
        "suspects": _suspects(settings.get("suspects")),
    }
    return [f"{key}={_text(value)}" for key, value in told.items() if value is not None]


def _suspects(listed: str | None) -> str | None:
    """How many rows' labels are left out, of all the numbers that run.json lists."""
    return f"{len(listed.split())} rows" if listed else None


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "/".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key}={_text(v)}" for key, v in value.items()) + ")"
    return str(value)
