"""From the settings in a run.json, which may come from anyone, to what `kfkd.train` is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kfkd.augment.notation import mix_from
from kfkd.errors import KfkdError, RunError
from kfkd.learning.settings import Settings, saved_recipe
from kfkd.runs import RECORD, Run
from kfkd.suspects import is_line

_HUB = ("https://tfhub.dev/", "https://www.kaggle.com/models/")
_PLAIN = (str, int, float, bool, type(None))


def saved_arguments(run: Run) -> dict[str, Any]:
    """The arguments of `kfkd.train` that repeat a run, its data and folder apart.

    Args:
        run: opened from its folder.

    Raises:
        RunError: when it used an augmentation of the user's own, which only `train` can be given
            again, or its settings are none, or would have something downloaded from anywhere.
    """
    saved = dict(run.record["settings"])
    if saved.pop("augment", None):
        told = "was trained with an own augmentation; call train with it again"
        raise RunError(f"{run.folder} {told}")
    try:
        _check(saved)
        recipe = saved_recipe(dict(saved.pop("recipe")))
        name, text = recipe.pop("augment", None), saved.pop("mix", None)
        mix = mix_from(text, name or "") if text else None
    except (KfkdError, TypeError, ValueError) as error:
        raise RunError(f"{run.folder / RECORD} has settings of no training: {error}") from error
    return {"name": saved.pop("model"), "augment": mix, **saved, **recipe}


def _check(saved: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(Settings)}
    if other := [key for key in saved if key not in known]:
        raise KfkdError(f"no setting is called {other[0]!r:.80}")
    for key in ("subsets", "teachers"):
        if not all(isinstance(name, str) for name in saved.get(key) or ()):
            raise KfkdError(f"{key} want names")
    for key in ("options", "codec"):
        for name, value in (saved.get(key) or {}).items():
            several = value if isinstance(value, list) else [value]
            if not all(isinstance(one, _PLAIN) for one in several):
                raise KfkdError(f"{key} want numbers and texts. Received: {name!r:.40}")
    if not all(type(one) is int for one in saved.get("fold") or ()):
        raise KfkdError("fold wants two whole numbers")
    if saved.get("suspects") and not is_line(saved["suspects"]):
        raise KfkdError("suspects want a line of rows")
    _check_weights((saved.get("options") or {}).get("weights"))


def _check_weights(weights: Any) -> None:
    """Weights that a run.json names are read, but not fetched from wherever it wants."""
    if isinstance(weights, str) and "://" in weights and not weights.startswith(_HUB):
        raise KfkdError(
            f"weights would come from {weights!r:.200}; if you trust that, call train with them"
        )
