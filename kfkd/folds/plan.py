"""What a cross-validation is to train: models, seeds, folds, and the command that repeats it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfkd.augment import Mix
from kfkd.correction import CORRECTIONS
from kfkd.errors import KfkdError, RunError
from kfkd.folds.cross_validation import TABLE, is_cross_validation, load_cross_validation
from kfkd.folds.flags import FLAGS
from kfkd.learning.key_values import key_value_words, key_values
from kfkd.registry import Recipe, entry
from kfkd.runs import Run, finished_run

_OWN = ("name", "data", "fold", "seed", "split_seed", "out", "callbacks")
_AS_PUBLISHED = {"epochs", "batch_size", "learning_rate", "validation", "copies"}
_MAY_BE_NONE = {*Recipe.__dataclass_fields__} - _AS_PUBLISHED
"""Of these `kfkd.train` takes None for none, of all others for the entry's own."""
_WORDS = (str, int, float, list, tuple, Path, Mix)
"""What a flag says as its text."""


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

    def settings_of(self, model: str, seed: int, fold: int) -> dict[str, Any]:
        """The settings of one training: it starts from its like in another cross-validation."""
        settings, own = dict(self.settings), finished_fold(self.folder(model, seed, fold))
        if own is not None:  # it may have been given these by `kfkd.correct`
            recipe = own.record["settings"]["recipe"]
            settings |= {kind: True for kind in CORRECTIONS if recipe.get(kind)}
        start = settings.get("start")
        if not isinstance(start, str | Path):
            return settings
        like = str(replace(self, out=Path(start)).folder(model, seed, fold))
        began = own is not None and own.record["settings"].get("start") == like
        return {**settings, "start": like if began or self.earlier_folds() else start}

    def earlier_folds(self) -> Path | None:
        """The cross-validation whose nets these trainings start from, if it is there."""
        start = self.settings.get("start")
        if isinstance(start, str | Path) and is_cross_validation(Path(start).expanduser()):
            return Path(start)
        return None

    def plain_settings(self) -> dict[str, Any]:
        """The settings as JSON has them; what it has no words for as text."""
        return json.loads(json.dumps(self._asked(), default=str))

    def command(self, data: Any, without: Sequence[Any] = (), row_numbers: Any = None) -> str:
        """What repeats it: a shell's line, or Python's where it wants more than that.

        Args:
            data: as it was given.
            without: likewise.
            row_numbers: likewise.
        """
        own: dict[str, Any] = {"fold_seed": self.fold_seed or None, "out": str(self.out)}
        own |= {"without": list(map(str, without)) or None}
        own |= {"row_numbers": row_numbers and str(row_numbers)}
        own = {key: value for key, value in own.items() if value is not None}
        counted = self.seeds == tuple(range(len(self.seeds)))
        named = data is None or isinstance(data, str | Path)
        words = self._words()
        if not named or not counted or words is None:
            asked = {"k": self.k, "seeds": list(self.seeds), **self._asked(), **own}
            told = ", ".join(f"{key}={value!r}" for key, value in asked.items())
            shown = repr(str(data)) if isinstance(data, str | Path) else "faces"
            return f"kfkd.cross_validate({list(self.models)!r}, {shown}, {told})"
        line = ["kfkd", "folds", *self.models, *([] if data is None else ["--data", str(data)])]
        return shlex.join([*line, *_flags({"k": self.k, "seeds": len(self.seeds), **own}), *words])

    def _asked(self) -> dict[str, Any]:
        """The settings that say something: None often stands for the entry's own."""
        told = {k: v for k, v in self.settings.items() if v is not None or k in _MAY_BE_NONE}
        return {k: str(v) if isinstance(v, Path) else v for k, v in told.items()}

    def _words(self) -> list[str] | None:
        """The settings as flags of `kfkd folds`; None where it has none for one."""
        asked = self._asked()
        flags = {key: asked.pop(key) for key in FLAGS if key in asked}
        flags |= {"augment": "none"} if flags.get("augment", "") is None else {}
        inner = {key: value for key in ("options", "codec") if (value := asked.pop(key, None))}
        words = key_value_words({**asked, **inner.get("options", {})})
        words += key_value_words(inner.get("codec", {}), "codec.")
        if not all(isinstance(value, _WORDS) for value in flags.values()):
            return None
        try:
            read = [key_values(name, words, "--set") for name in self.models]
        except KfkdError:
            return None
        if any(one != {**asked, **inner} for one in read):
            return None
        return [*_flags(flags), *(["--set", *words] if words else [])]


def _flags(asked: Mapping[str, Any]) -> list[str]:
    words = []
    for key, value in asked.items():
        words.append(f"--{key.replace('_', '-')}")
        words += map(str, value if isinstance(value, list | tuple) else [value])
    return words


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
    _check_start(plan)
    if not plan.out.is_dir() or is_cross_validation(plan.out):
        return
    for path in plan.out.iterdir():
        if not path.name.startswith(".") and path.name not in (TABLE, *plan.models):
            raise KfkdError(f"{plan.out} holds something else, {path.name}; name another folder")


def _check_start(plan: Plan) -> None:
    if (start := plan.earlier_folds()) is None:
        return
    facts = load_cross_validation(start).facts
    asked = {"k": plan.k, "fold_seed": plan.fold_seed}
    if other := {key: facts[key] for key in asked if facts[key] != asked[key]}:
        told = ", ".join(f"{key}={value}" for key, value in other.items())
        raise KfkdError(f"{start} has other folds to start from: {told}")
    for training in plan.trainings():
        if finished_fold(plan.folder(*training)) is None:
            finished_run(Path(plan.settings_of(*training)["start"]).expanduser())


def finished_fold(folder: Path) -> Run | None:
    """A fold's run where it came to its end."""
    try:
        return finished_run(folder)
    except RunError:
        return None
