"""Out-of-fold predictions without any training: faces, labels, members with known noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kfkd.folds.cross_validation import CrossValidation
from kfkd.folds.scores import FoldScorer
from kfkd.pipelines.splits import group_shares
from kfkd.skeletons import KAGGLE_15
from kfkd.storage.files import write_json
from kfkd.submissions.out_of_fold import OutOfFold

DENSE = list(KAGGLE_15.subset("dense"))
REST = np.array(
    [
        *((66, 37), (30, 37), (59, 38), (73, 38), (37, 38), (22, 38), (56, 29), (79, 30)),
        *((40, 29), (16, 30), (48, 58), (62, 76), (34, 77), (48, 73), (48, 80)),
    ],
    np.float64,
)


class Faces:
    """n faces' true points, half of them labelled by each source, three to a group.

    Args:
        n: how many.
        missing: share of the points that nobody labelled.
    """

    def __init__(self, n: int = 600, missing: float = 0.02, seed: int = 0, k: int = 5) -> None:
        self.rng = np.random.default_rng(seed)
        move = self.rng.normal(0, 2.5, (n, 1, 2)) + self.rng.normal(0, 1, (n, 15, 2))
        self.true = REST + move
        self.source = np.where(np.arange(n) % 2, "four_point", "full")
        self.group = (np.arange(n) // 3).astype(np.uint64)
        self.fold = np.floor(group_shares(self.group, 0) * k).astype(int)
        self.labels = self.true.astype(np.float32)
        sparse = [i for i in range(15) if i not in DENSE]
        self.labels[np.ix_(self.source == "four_point", sparse)] = np.nan
        self.labels[self.rng.random((n, 15)) < missing] = np.nan

    def noise(self, pixels: float) -> np.ndarray:
        """(n, 15, 2) of normal noise."""
        return self.rng.normal(0, pixels, self.true.shape)

    def member(self, name: str, *errors: np.ndarray, facts: dict | None = None) -> OutOfFold:
        """A model that errs by `errors`, a seed each."""
        known = {"fingerprint": "made up", "k": 5, "fold_seed": 0, "image": [96, 96, 1]}
        return OutOfFold(
            model=name,
            facts={**known, "seeds": list(range(len(errors))), **(facts or {})},
            skeleton=KAGGLE_15,
            ids=np.arange(1, len(self.true) + 1),
            source=self.source,
            group=self.group,
            fold=self.fold,
            truth=self.labels,
            predicted=np.stack([self.true + error for error in errors]).astype(np.float32),
        )


def write_folds(out: Path, members: list[OutOfFold], data: str = "own") -> Path:
    """A cross-validation's folder, as if it had been trained."""
    models = {}
    for member in members:
        member.save(out / member.model / "oof.npz")
        seeds = member.facts["seeds"]
        rows = [{"seed": s, "fold": f, "folder": f"x-{s}-{f}"} for s in seeds for f in range(5)]
        scores = FoldScorer(member).scores(member.mean)
        models[member.model] = {"folds": rows, "seeds": seeds, "pooled": scores}
        models[member.model] |= {"settings": {}, "fault": None}
    first = members[0]
    facts = {"k": 5, "fold_seed": 0, "rows": len(first.ids), "data": data, "path": ""}
    facts |= {"fingerprint": first.facts["fingerprint"], "without": None, "command": "none"}
    write_json(out / "results.json", CrossValidation(out, facts, models).as_dict())
    return out
