"""A cross-validation under way: trains its folds and keeps its folder up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.errors import RunError
from kfkd.faces import FaceSet
from kfkd.folds.answering import answers_digest
from kfkd.folds.cross_validation import (
    PREDICTIONS,
    RESULTS,
    TABLE,
    CrossValidation,
    is_cross_validation,
    load_cross_validation,
)
from kfkd.folds.plan import Plan, finished_fold
from kfkd.folds.scores import FoldScorer, number
from kfkd.learning.settings import UNUSED
from kfkd.pipelines.splits import fold_split, folds
from kfkd.progress import duration, say
from kfkd.registry import entry
from kfkd.row_numbers import Named
from kfkd.runs import Run
from kfkd.storage.files import write_json, write_text
from kfkd.submissions.broken import fault
from kfkd.submissions.out_of_fold import OutOfFold, read_out_of_fold
from kfkd.training import train

_SAME = ("fingerprint", "k", "fold_seed")
"""Facts that out-of-fold predictions must share to be kept side by side."""


class FoldWork:
    """A cross-validation under way.

    Args:
        plan: what is to be trained, checked.
        data: as a user names it.
        quiet: no progress.
    """

    def __init__(self, plan: Plan, data: Any, quiet: bool) -> None:
        self.plan, self.data, self.quiet = plan, data, quiet
        self.sets: dict[Any, FaceSet] = {}
        self.seconds: dict[str, float] = {}
        for fold in range(plan.k):
            fold_split(self.faces(plan.models[0]), (fold, plan.k), plan.fold_seed)

    def faces(self, model: str) -> FaceSet:
        """The data in the size that a model wants; loaded once for all that want the same."""
        frame = entry(model).input_shape if isinstance(self.data, str) else None
        if frame not in self.sets:
            self.sets[frame] = as_faces(self.data, quiet=self.quiet, frame=frame)
        return self.sets[frame]

    def begin(self, named: Named | None, command: str) -> None:
        """Takes up what the folder has already.

        Args:
            named: rows that the clean figures leave out; None = there are no clean figures.
            command: that repeats it all.

        Raises:
            RunError: when the folder is of other data or folds.
        """
        plan, faces = self.plan, self.faces(self.plan.models[0])
        facts = {
            "data": faces.origin,
            "path": faces.path,
            "rows": len(faces),
            "fingerprint": faces.fingerprint,
            "k": plan.k,
            "fold_seed": plan.fold_seed,
            "without": named and {"listed": named.listed, "rows": list(named.ids)},
            "command": command,
        }
        models = {name: dict(model) for name, model in self._earlier(facts).items()}
        for name in plan.models:
            before = models.get(name, {"folds": [], "pooled": None, "fault": None, "seeds": []})
            seeds = sorted({*before["seeds"], *plan.seeds})
            models[name] = {**before, "seeds": seeds, "settings": plan.plain_settings()}
        self._check_start(facts)
        self.found = CrossValidation(plan.out, facts, models)
        for name in models:
            if models[name]["folds"]:
                self._rescore(name)

    def _check_start(self, facts: Mapping[str, Any]) -> None:
        """Refuses nets of other data: their folds need not be these."""
        if (start := self.plan.earlier_folds()) is None:
            return
        known = load_cross_validation(start).facts
        if other := [key for key in ("data", "rows") if known[key] != facts[key]]:
            told = "; ".join(f"{k}: received {facts[k]}, it has {known[k]}" for k in other)
            raise RunError(f"{start} has folds of other data to start from ({told})")

    def _earlier(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        plan = self.plan
        if not is_cross_validation(plan.out):
            return {}
        old = load_cross_validation(plan.out)
        if other := [key for key in _SAME if old.facts[key] != facts[key]]:
            told = "; ".join(f"{k}: received {facts[k]}, it has {old.facts[k]}" for k in other)
            raise RunError(f"{plan.out} is of other data or folds ({told}); name another folder")
        for name in plan.models:
            known, asked = old.models.get(name, {}).get("settings"), plan.plain_settings()
            if known is not None and _told(known, name) != _told(asked, name):
                raise RunError(
                    f"{plan.out} has folds of {name} with other settings (received {asked}, it has "
                    f"{known}); name another folder"
                )
        return old.models

    def train(self, model: str, seed: int, fold: int) -> None:
        """Trains a fold where that is not done yet, predicts it, and renews the folder's files."""
        faces, predictions = self.faces(model), self._predictions(model)
        rows = predictions.fold == fold
        own = predictions.predicted[self.found.models[model]["seeds"].index(seed)]
        known = self._row(model, seed, fold)
        if known and not (self.plan.out / known["folder"]).exists() and _any(own[rows]):
            return  # its predictions are there, its net was taken elsewhere
        folder = self.plan.folder(model, seed, fold)
        old = finished_fold(folder) is not None
        run = train(
            model,
            faces,
            **self.plan.settings_of(model, seed, fold),
            fold=(fold, self.plan.k),
            seed=seed,
            split_seed=self.plan.fold_seed,
            out=folder,
            quiet=self.quiet or old,
        )
        row = _row(run, seed, fold, self.plan)
        same = known and all(known.get(key) == row.get(key) for key in ("created", "answers"))
        if same and old and _any(own[rows]):
            return
        part = faces[rows]
        own[rows] = run.predict(part.images, source=part.source, thorough=True)
        predictions.save(self.plan.out / model / PREDICTIONS)
        self._keep(model, row)
        self._tell(model, seed, fold)

    def _row(self, model: str, seed: int, fold: int) -> dict[str, Any] | None:
        rows = self.found.models[model]["folds"]
        return next((row for row in rows if (row["seed"], row["fold"]) == (seed, fold)), None)

    def _predictions(self, model: str) -> OutOfFold:
        """The model's out-of-fold predictions so far, NaN where there are none."""
        plan, faces, seeds = self.plan, self.faces(model), self.found.models[model]["seeds"]
        facts = {"fingerprint": faces.fingerprint, "k": plan.k, "fold_seed": plan.fold_seed}
        found = OutOfFold(
            model=model,
            facts={**facts, "seeds": list(seeds), "image": list(faces.images.shape[1:])},
            skeleton=faces.skeleton,
            ids=faces.ids,
            source=np.asarray(faces.source, np.str_),
            group=faces.group,
            fold=folds(faces, plan.k, plan.fold_seed),
            truth=faces.keypoints,
            predicted=np.full((len(seeds), *faces.keypoints.shape), np.nan, np.float32),
        )
        path = plan.out / model / PREDICTIONS
        earlier = read_out_of_fold(path) if path.is_file() else None
        if earlier and all(earlier.facts[key] == facts[key] for key in _SAME):
            for seed, predicted in zip(earlier.facts["seeds"], earlier.predicted, strict=True):
                if seed in seeds:
                    found.predicted[seeds.index(seed)] = predicted
        return found

    def _keep(self, model: str, row: dict[str, Any]) -> None:
        """Puts a fold's row into the results and writes them."""
        place = (row["seed"], row["fold"])
        rows = [r for r in self.found.models[model]["folds"] if (r["seed"], r["fold"]) != place]
        self._set(model, folds=sorted([*rows, row], key=lambda r: (r["seed"], r["fold"])))
        self._rescore(model)
        self.write()

    def _rescore(self, model: str) -> None:
        found, facts = self.found.models[model], self.found.facts
        predictions = self.found.out_of_fold(model)
        scorer = FoldScorer(predictions, facts["without"]["rows"] if facts["without"] else ())
        seeds = predictions.facts["seeds"]
        for row in found["folds"]:
            own = predictions.predicted[seeds.index(row["seed"])]
            row["scores"] = scorer.scores(own, predictions.fold == row["fold"])
        done = [row["seed"] for row in found["folds"]]
        whole = [seed for seed in found["seeds"] if done.count(seed) == self.plan.k]
        own = {str(s): scorer.scores(predictions.predicted[seeds.index(s)]) for s in whole}
        self._set(model, seed_scores=own, pooled=None, fault=None)
        if whole == found["seeds"]:
            mean = scorer.scores(predictions.mean)
            self._set(model, pooled=mean, fault=fault(predictions))

    def _set(self, model: str, **facts: Any) -> None:
        self.found.models[model].update(facts)  # type: ignore[attr-defined]

    def write(self) -> None:
        """Writes results.json and table.md."""
        write_json(self.plan.out / RESULTS, self.found.as_dict())
        write_text(self.plan.out / TABLE, self.found.table())

    def _tell(self, model: str, seed: int, fold: int) -> None:
        trainings, row = self.plan.trainings(), self._row(model, seed, fold)
        assert row
        done, scores = trainings.index((model, seed, fold)) + 1, row["scores"]["all"]
        key = "kaggle_rmse" if scores["model"]["kaggle_rmse"] is not None else "all"
        line = f"{done}/{len(trainings)} {model}, seed {seed}, fold {fold}: {key} "
        line += f"{number(scores['model'][key])} px (mean face {number(scores['mean_face'][key])})"
        self.seconds[model] = row["seconds"]
        usual = sum(self.seconds.values()) / len(self.seconds)
        left = sum(
            self.seconds.get(one[0], usual)
            for one in trainings[done:]
            if finished_fold(self.plan.folder(*one)) is None
        )
        say(f"{line}; about {duration(left)} left" if left else line, self.quiet)


def _told(settings: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Without None and what is the entry's own, which earlier versions left out; the runs tell
    more.
    """
    own = {key: getattr(entry(model).recipe, key) for key in UNUSED}
    return {k: v for k, v in settings.items() if v is not None and v != own.get(k)}


def _any(points: np.ndarray) -> bool:
    return bool(np.isfinite(points).any())


def _row(run: Run, seed: int, fold: int, plan: Plan) -> dict[str, Any]:
    parts = run.record["subsets"]
    return {
        "seed": seed,
        "fold": fold,
        "folder": run.folder.relative_to(plan.out).as_posix(),
        "created": run.record["created"],
        "epochs": {subset: part["epochs"] for subset, part in parts.items()},
        "seconds": round(sum(part["seconds"] for part in parts.values()), 1),
        "answers": answers_digest(run),
    }
