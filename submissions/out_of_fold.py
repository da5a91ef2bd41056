"""Out-of-fold predictions: each row's by a model that never saw its group, kept with the labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.errors import KfkdError, RunError
from kfkd.skeletons import Skeleton, skeleton_from
from kfkd.storage.files import bytes_of, replacing
from kfkd.storage.stored_arrays import read_arrays
from kfkd.storage.stored_arrays import told as json_of

_ROWS = ("ids", "source", "group", "fold")
_KINDS = {"source": "U", "truth": "f", "predicted": "f"}
_FACTS = {"fingerprint": str, "k": int, "fold_seed": int, "seeds": list, "image": list}


@dataclass(frozen=True)
class OutOfFold:
    """A model's predictions of all rows of a data set, fold by fold.

    Args:
        model: zoo entry.
        facts: fingerprint of the data, k, fold_seed, seeds, image (h, w, c).
        skeleton: names the k keypoints.
        ids: int64 (n,), the rows' numbers in the data.
        source: str (n,), who labelled each.
        group: uint64 (n,), equal for rows that are in the same fold.
        fold: int64 (n,), from 0.
        truth: float32 (n, k, 2), labels in pixels, NaN = not labelled.
        predicted: float32 (seeds, n, k, 2) in pixels, NaN = not predicted.
    """

    model: str
    facts: Mapping[str, Any]
    skeleton: Skeleton
    ids: np.ndarray
    source: np.ndarray
    group: np.ndarray
    fold: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """float64 (n, k, 2): the mean over the seeds, NaN where one of them does not predict."""
        return self.predicted.mean(axis=0, dtype=np.float64)

    @property
    def key(self) -> str:
        """The model and a digest of its predictions: what it is, wherever its file lies."""
        digest = hashlib.sha256()
        for name in (*_ROWS, "truth", "predicted"):
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return f"{self.model} {digest.hexdigest()[:16]}"

    def save(self, path: Path) -> None:
        """Writes an .npz without pickles, whole or not at all."""
        told = {"model": self.model, "facts": self.facts, "keypoints": self.skeleton.as_dict()}
        arrays = {name: getattr(self, name) for name in (*_ROWS, "truth", "predicted")}
        with replacing(path, bytes_of(arrays)) as beside, beside.open("wb") as file:
            np.savez(file, told=np.array(json.dumps(told)), **arrays)  # type: ignore[arg-type]


def read_out_of_fold(path: str | Path) -> OutOfFold:
    """Reads what `OutOfFold.save` wrote.

    Args:
        path: the .npz.

    Raises:
        RunError: when it is absent, broken or something else.
    """
    try:
        arrays = read_arrays(path, ("told", *_ROWS, "truth", "predicted"))
        told = json_of(arrays.pop("told"))
        found = OutOfFold(
            str(told["model"]), told["facts"], skeleton_from(told["keypoints"]), **arrays
        )
        _check(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} holds no out-of-fold predictions: {error}") from error
    return found


def _check(found: OutOfFold) -> None:
    for name, kind in _FACTS.items():
        if not isinstance(found.facts.get(name), kind):
            raise KfkdError(f"{name} is {found.facts.get(name)!r:.100}")
    n, k = len(found.ids), len(found.skeleton)
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(_ROWS, (n,))
    wanted |= {"truth": (n, k, 2), "predicted": (len(found.facts["seeds"]), n, k, 2)}
    for name, shape in wanted.items():
        array = getattr(found, name)
        if array.shape != shape or not n:
            raise KfkdError(f"{name} wants the shape {shape}. Received: {array.shape}")
        if array.dtype.kind not in _KINDS.get(name, "iu"):
            raise KfkdError(f"{name} holds {array.dtype}")
        if array.dtype.kind == "f" and np.isinf(array).any():
            raise KfkdError(f"{name} holds infinite numbers")
    if not all(isinstance(seed, int) for seed in found.facts["seeds"]):
        raise KfkdError(f"seeds are {found.facts['seeds']!r:.100}")
