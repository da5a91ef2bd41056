"""What a cross-validation is to train: models, seeds, folds, and the command that repeats it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError
from kfkd.folds.cross_validation import TABLE, is_cross_validation
from kfkd.registry import entry

_OWN = ("name", "data", "fold", "seed", "split_seed", "out", "callbacks")
_FLAGS = {
    *("subsets", "epochs", "batch_size", "learning_rate", "validation", "precision", "augment"),
    "suspects",
}


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Args:
        out: the cross-validation's folder.
        models: entries of the zoo.
        k: folds.
        seeds: of the trainings.
        fold_seed: of the folds.
        settings: what else `kfkd.train` is given.
    """

    out: Path
    models: tuple[str, ...]
    k: int
    seeds: tuple[int, ...]
    fold_seed: int
    settings: Mapping[str, Any]

    def trainings(self) -> list[tuple[str, int, int]]:
        """(model, seed, fold), seed by seed, so that a stop leaves fewer seeds."""
        return [(m, s, f) for s in self.seeds for m in self.models for f in range(self.k)]

    def folder(self, model: str, seed: int, fold: int) -> Path:
        """The run folder of a training."""
        return self.out / model / f"seed-{seed}" / f"fold-{fold}"

    def plain_settings(self) -> dict[str, Any]:
        """The settings as JSON has them; what it has no words for as text."""
        told = {key: value for key, value in self.settings.items() if value is not None}
        return json.loads(json.dumps(told, default=str))

    def command(self, data: Any, without: Sequence[Any] = (), row_numbers: Any = None) -> str:
        """What repeats it: a shell's line, or Python's where it wants more than that.

        Args:
            data: as it was given.
            without: likewise.
            row_numbers: likewise.
        """
        asked: dict[str, Any] = {"k": self.k, "seeds": list(self.seeds), **self.settings}
        asked |= {"fold_seed": self.fold_seed or None, "without": list(map(str, without)) or None}
        asked |= {"row_numbers": row_numbers and str(row_numbers), "out": str(self.out)}
        asked = {key: value for key, value in asked.items() if value is not None}
        counted = self.seeds == tuple(range(len(self.seeds)))
        named = data is None or isinstance(data, str | Path)
        if not named or not counted or not {*self.plain_settings()} <= _FLAGS:
            words = ", ".join(f"{key}={value!r}" for key, value in asked.items())
            shown = repr(str(data)) if isinstance(data, str | Path) else "faces"
            return f"kfkd.cross_validate({list(self.models)!r}, {shown}, {words})"
        line = ["kfkd", "folds", *self.models, *([] if data is None else ["--data", str(data)])]
        for key, value in {**asked, "seeds": len(self.seeds)}.items():
            line.append(f"--{key.replace('_', '-')}")
            line += map(str, value if isinstance(value, list | tuple) else [value])
        return shlex.join(line)


def check_plan(plan: Plan) -> None:
    """Refuses what makes no cross-validation, before anything is trained or written.

    Raises:
        UnknownName: when there is no such model.
        KfkdError: when a setting makes no sense, or the folder holds something else.
    """
    if wrong := [key for key in _OWN if key in plan.settings]:
        raise KfkdError(f"folds set {', '.join(wrong)} themselves: use seeds, fold_seed and k")
    if not plan.models or len(set(plan.models)) < len(plan.models):
        received = ", ".join(plan.models) or "none"
        raise KfkdError(f"folds want models, each once. Received: {received}")
    for name in plan.models:
        entry(name)
    for what, value, least in (("k", plan.k, 2), ("fold_seed", plan.fold_seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise KfkdError(f"{what} wants a whole number from {least}. Received: {value!r}")
    if not plan.out.is_dir() or is_cross_validation(plan.out):
        return
    for path in plan.out.iterdir():
        if not path.name.startswith(".") and path.name not in (TABLE, *plan.models):
            raise KfkdError(f"{plan.out} holds something else, {path.name}; name another folder")
