"""What a comparison is to train: mixes, seeds, folders, and the command that repeats it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.augment import MIXES, Mix, mix
from kfkd.augment.mixes import STUDY
from kfkd.errors import KfkdError, RunError
from kfkd.storage.files import read_json
from kfkd.storage.kinds import MAYBE, NUMBER, Numbers, check_kinds, check_plain


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Args:
        out: the comparison's folder.
        model: entry of the zoo.
        mixes: by name or text, the control first.
        seeds: of the trainings.
        split_seed: of the split that they share.
        settings: what else `kfkd.train` is given, None = the entry's.
    """

    out: Path
    model: str
    mixes: tuple[str, ...]
    seeds: tuple[int, ...]
    split_seed: int
    settings: Mapping[str, Any]

    def trainings(self) -> list[tuple[int, str]]:
        """(seed, mix) in their order: seed by seed, so that a stop leaves fewer seeds."""
        return [(seed, name) for seed in self.seeds for name in self.mixes]

    def folder(self, seed: int, name: str) -> Path:
        """The run folder of a training."""
        return self.out / mix_folder(name) / f"seed-{seed}"

    def command(self, data: str | None) -> str:
        """What repeats the comparison: a shell's line, or Python's where it wants more than that.

        Args:
            data: as given by its path, None = faces in memory.
        """
        told = {k: v for k, v in self.settings.items() if v is not None}
        counted = self.seeds == tuple(range(len(self.seeds)))
        flags = ("epochs", "batch_size", "learning_rate", "subsets", "precision")
        if data is None or not counted or any(k not in flags for k in told):
            return self._call(data, told)
        words = ["kfkd", "compare", "--data", data, "--model", self.model, "--mixes", *self.mixes]
        words += ["--seeds", str(len(self.seeds))]
        words += ["--split-seed", str(self.split_seed)] if self.split_seed else []
        for key, value in told.items():
            several = isinstance(value, Iterable) and not isinstance(value, str)
            words.append(f"--{key.replace('_', '-')}")
            words += map(str, value) if several else (str(value),)
        return shlex.join([*words, "--out", str(self.out)])

    def _call(self, data: str | None, told: Mapping[str, Any]) -> str:
        named = {"mixes": list(self.mixes), "seeds": list(self.seeds)}
        named |= {"split_seed": self.split_seed, **told, "out": str(self.out)}
        words = ", ".join(f"{key}={value!r}" for key, value in named.items())
        return f"kfkd.compare({'faces' if data is None else repr(data)}, {self.model!r}, {words})"


def mix_texts(mixes: Iterable[str | Mix] | None) -> tuple[str, ...]:
    """The mixes by name or text, all of them known and different.

    Args:
        mixes: names, texts or mixes; None = "none" and the study's ten.

    Raises:
        UnknownName: when there is no such mix.
        KfkdError: when it is none of these, or there are not two of them.
    """
    if mixes is None:
        return ("none", *STUDY)
    asked = [mixes] if isinstance(mixes, str | Mix) else list(mixes)
    if wrong := [m for m in asked if not isinstance(m, str | Mix)]:
        raise KfkdError(f"mixes want names, texts or kfkd.augment.Mix. Received: {wrong[0]!r}")
    texts = tuple(_text(m) for m in asked)
    if len(set(map(mix_folder, texts))) < max(len(texts), 2):
        raise KfkdError(
            "compare wants at least two different mixes, of which the first is the control. "
            f"Received: {', '.join(texts) or 'none at all'}"
        )
    return texts


def mix_text(name: str) -> str:
    """What a mix is, whatever it is called.

    Args:
        name: a name or text that `kfkd.augment.mix` takes.
    """
    return str(mix(name))


def earlier_rows(path: Path, facts: Mapping[str, Any]) -> dict[tuple[int, str], dict[str, Any]]:
    """Trainings that an earlier results.json knows, by seed and the mix's text.

    Args:
        path: the file; where it is absent there is none.
        facts: of this comparison.

    Raises:
        RunError: when they had other data or settings.
    """
    if not path.is_file():
        return {}
    found = read_json(path)
    try:
        check_plain(found)
        check_kinds(found, {"facts": dict, "runs": list})
        old, rows = found.get("facts", {}), found.get("runs", [])
        for row in rows:
            check_kinds(row, _ROW)
            check_kinds(row, _ROW, _ROW if "text" in row else ())
    except KfkdError as error:
        raise RunError(f"{path} is of no comparison: {error}") from error
    if other := [key for key in _SAME if old.get(key) != facts[key]]:
        told = "; ".join(f"{key}: received {facts[key]}, it has {old.get(key)}" for key in other)
        raise RunError(f"{path} is of other data or settings ({told}); name another folder")
    return {(row["seed"], row["text"]): row for row in rows if "text" in row}


_ROW: Mapping[str, Any] = {
    **dict.fromkeys(("mix", "text", "folder", "machine"), str),
    **dict.fromkeys(("rmse", "mean_face"), Numbers(MAYBE)),
    "epochs": Numbers((int,)),
    "seed": int,
    "seconds": NUMBER,
}

_SAME = (
    "model",
    "fingerprint",
    "split_seed",
    "subsets",
    "epochs",
    "batch_size",
    "learning_rate",
    "loss",
    "precision",
)
"""Facts that trainings must share to be compared."""


def _text(what: str | Mix) -> str:
    chosen = mix(what)
    if isinstance(what, str):
        return " ".join(what.split())
    known = chosen.name in MIXES and str(mix(chosen.name)) == str(chosen)
    return chosen.name if known else str(chosen)


def mix_folder(name: str) -> str:
    """A mix's folder: its name, or of a text what is fit for one with a digest.

    Args:
        name: a name or text that `kfkd.augment.mix` takes.

    Example:
        >>> mix_folder("study_flip")
        'study_flip'
    """
    if name in MIXES:
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"{slug}-{sha256(str(mix(name)).encode()).hexdigest()[:6]}"


def seed_numbers(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds: so many from 0, or those named.

    Args:
        seeds: a number, or the seeds.

    Raises:
        KfkdError: when there is none, one stands twice, or they are no whole numbers.
    """
    one = isinstance(seeds, int | np.integer) and not isinstance(seeds, bool)
    chosen: Any = range(int(seeds)) if one else seeds  # type: ignore[arg-type]
    found = tuple(chosen) if isinstance(chosen, Iterable) else ()
    whole = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in found)
    if not found or not whole or len(set(found)) < len(found):
        raise KfkdError(f"seeds want a number from 1, or different seeds. Received: {seeds!r}")
    return tuple(map(int, found))
