"""Trains a run's subsets, and closes the run: scores, pictures, record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.augment import Mix, copied
from kfkd.by_source import split_sources
from kfkd.correction import CORRECTIONS
from kfkd.corrections import fit_corrections, keep_corrections
from kfkd.drawing.run_pictures import PICTURES, draw_run
from kfkd.errors import DataError
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.learning.half_precision import slow_here
from kfkd.learning.measuring import measured
from kfkd.learning.parts import learned_faces, parts, split_facts
from kfkd.learning.settings import Settings
from kfkd.learning.teaching import taught
from kfkd.learning.warm_start import check_unseen, epochs_behind
from kfkd.machines.devices import Devices
from kfkd.metrics import mean_face, rmse
from kfkd.mirror_axis import labels_beside_axis
from kfkd.pipelines.batches import rows_for
from kfkd.progress import duration, say
from kfkd.registry import entry
from kfkd.run_history import save_history
from kfkd.runs import RECORD, Run, finished_run, save_record
from kfkd.scoring import mean_faces
from kfkd.skeletons import KAGGLE_15
from kfkd.storage.files import replacing
from kfkd.storage.leftovers import sweep

if TYPE_CHECKING:
    from keras import Model

    from kfkd.learning.jobs import Job


FILES = (RECORD, "history.csv", *PICTURES)
"""What a run's folder holds besides its models."""


@dataclass
class Trainer:
    """One training of a run.

    Args:
        run: the opened run; its record is kept up to date on disk.
        settings: what was asked for.
        faces: all rows, labelled.
        augment: mix, or function of the user's own.
        callbacks: the user's own.
        quiet: no progress.
        devices: that share the work; of several machines, one writes.
    """

    run: Run
    settings: Settings
    faces: FaceSet
    augment: Mix | Callable[..., Any] | None
    callbacks: tuple[Any, ...]
    quiet: bool
    devices: Devices = field(default_factory=Devices)

    def __post_init__(self) -> None:
        self.recipe, self.record = self.settings.recipe, self.run.record
        self.parts = parts(self.faces, self.settings)
        learn, watched, held_out = self.parts
        self.train = learned_faces(self.faces, self.parts, self.settings.suspects)
        self.validation = self.faces[held_out]
        self.watched = self.validation if watched is held_out else self.faces[watched]
        labels = self.faces.labelled[learn].sum()
        self.suspects = int(labels - self.train.labelled.sum())
        self.history = self.run.history()
        two = self.faces.skeleton.points == KAGGLE_15.points
        self.by_source = two and entry(self.settings.model).by_source

    def go(self) -> Run:
        """Trains what is not trained yet, and returns the finished run."""
        began, machines = time.monotonic(), self.devices.machines
        self.record.pop("devices", None)
        self.record |= self.devices.facts()
        self.record["split"] = split_facts(self.parts, self.settings)
        if self.settings.suspects:
            self.record["suspects"] = {"training labels left out": self.suspects}
        self.record["mean_face"] = mean_faces(self.train)
        for other in (self.settings.start, *(self.settings.teachers or ())):
            if other is not None:
                self._check_unseen(other)
        say(self._greeting(), self.quiet)
        if slow := slow_here(self.settings.precision):
            say(slow, self.quiet)
        for subset in self.settings.subsets:
            if not machines.told(partial(self._fitted, subset)):
                self._fit(subset)
        self.run.record = machines.told(self._finish)
        say(f"done in {duration(time.monotonic() - began)}: {self.run.folder}", self.quiet)
        return self.run

    def _check_unseen(self, other: str) -> None:
        """Refuses a run to learn from that has learned what is held out here."""
        held_out, split = self.parts.held_out, self.record["split"]
        check_unseen(finished_run(other), self.faces, split, held_out)

    def _greeting(self) -> str:
        return (
            f"{self.settings.model}: {len(self.train)} training and {len(self.validation)} "
            f"validation images, {self.recipe.epochs} epochs at most, batch "
            f"{self.recipe.batch_size}, {self.settings.precision}, seed {self.settings.seed}, "
            f"{self._mix_told()}{self.devices.told()} → {self.run.folder}"
        )

    def _mix_told(self) -> str:
        if not isinstance(self.augment, Mix):
            return self.settings.augment or "no augmentation"
        kind = f"{len(self.augment.branches)} fixed copies" if self.recipe.copies else "on the fly"
        return f"mix {self.augment.name or self.augment} ({kind})"

    def _fitted(self, subset: str) -> bool:
        """The model is written first, then its facts: only both together mean that it is done."""
        facts = self.record["subsets"].get(subset, {})
        return "epochs" in facts and (self.run.folder / f"{subset}.keras").is_file()

    def _fit(self, subset: str) -> None:
        from kfkd.learning.fitting import fit

        job = self._job(subset)
        self._save_facts(
            subset,
            codec=job.codec.config(),
            **({"by_source": True} if self.by_source else {}),
            **({"views": self.recipe.views.config()} if len(self.recipe.views) > 1 else {}),
            **({"second_look": True} if self.recipe.second_look else {}),
            **({"label_offset": job.label_offset} if job.label_offset else {}),
            **({"epochs_before": job.epochs_before} if job.epochs_before else {}),
            train_rows=len(job.train),
            validation_rows=len(job.validation),
            mean_face=None if np.isnan(job.mean_face) else round(job.mean_face, 5),
        )
        model, rows = fit(job)
        self._save_history(subset, rows)
        if self.devices.machines.writes:
            _save_model(model, self.run.folder / f"{subset}.keras")
        self._save_facts(subset, params=model.count_params(), **_outcome(job, rows))

    def _job(self, subset: str) -> Job:
        from kfkd.learning.jobs import Job

        learn = self.train[rows_for(self.train, subset, self.settings.drop_incomplete)]
        if not len(learn):
            raise DataError(f"no training row labels the subset {subset!r}")
        constant = mean_face(learn.keypoints)
        measured = self.watched[rows_for(self.watched, subset)]
        if self.by_source:
            learn, measured = split_sources(learn), split_sources(measured)
            constant = mean_face(learn.keypoints)
        offset = self._label_offset(learn, subset)
        if self.settings.teachers:
            teachers = [finished_run(run) for run in self.settings.teachers]
            learn = taught(learn, teachers, self.settings.teacher_share or 0.0, self.quiet)
        chosen = list(learn.skeleton.subset(subset))
        constant_rmse = rmse(measured.keypoints[:, chosen], constant[chosen])
        learn, measured = _moved(learn, offset), _moved(measured, offset)
        learn, augment = self._augmented(learn)
        return Job(
            name=self.settings.model,
            subset=subset,
            recipe=self.recipe,
            codec=self.settings.coded_by,
            seed=self.settings.seed,
            precision=self.settings.precision,
            options=self.settings.options,
            train=learn,
            validation=measured,
            mean_face=constant_rmse,
            label_offset=offset[chosen].tolist() if offset.any() else None,
            augment=augment,
            callbacks=self.callbacks,
            checkpoint=self.run.folder / "checkpoint" / f"{subset}.npz",
            on_epoch=lambda rows: self._save_history(subset, rows),
            quiet=self.quiet,
            start=self.settings.start,
            epochs_before=self._epochs_before(subset),
            devices=self.devices,
        )

    def _epochs_before(self, subset: str) -> int:
        start, begun = self.settings.start, self.record["subsets"].get(subset)
        if begun is not None:
            return begun.get("epochs_before", 0)
        return 0 if start is None else epochs_behind(finished_run(start), subset)

    def _label_offset(self, learn: FaceSet, subset: str) -> np.ndarray:
        """How far labels lie beside where the model is to see them, (k, 2) in pixels."""
        offset = np.zeros((len(learn.skeleton), 2))
        if self.recipe.centre_labels:
            say("comparing labels with those of mirror images", self.quiet)
            sources = learn.skeleton.subsets.values() if self.by_source else ()
            for points in sources or [learn.skeleton.subset(subset)]:
                offset[list(points), 0] = labels_beside_axis(learn, points)
        return offset

    def _augmented(self, learn: FaceSet) -> tuple[FaceSet, Callable[..., Any] | None]:
        """The rows to learn from, and what is done to each batch of them."""
        if not isinstance(self.augment, Mix):
            return learn, self.augment
        if not self.augment.transforms:
            return learn, None
        if self.recipe.copies:
            return copied(learn, self.augment, seed=self.settings.seed), None
        return learn, self.augment.bind(learn.skeleton)

    def _save_history(self, subset: str, rows: list[dict[str, float]]) -> None:
        self.history[subset] = rows
        if self.devices.machines.writes:
            save_history(self.run.folder, self.history)

    def _save_facts(self, subset: str, **facts: Any) -> None:
        self.record["subsets"].setdefault(subset, {}).update(facts)
        if self.devices.machines.writes:
            save_record(self.run.folder, self.record)

    def _finish(self) -> dict[str, Any]:
        held_out, on = self.validation, "validation"
        if not any(len(rows_for(held_out, subset)) for subset in self.settings.subsets):
            held_out, on = self.train, "training"
        if kinds := [kind for kind in CORRECTIONS if getattr(self.recipe, kind)]:
            keep_corrections(self.run, fit_corrections(self.run, self.train, kinds, self.quiet))
        self.record["metrics"], predicted = measured(self.run, held_out, on)
        draw_run(self.run, held_out, predicted)
        self.record["status"] = "finished"
        save_record(self.run.folder, self.record)
        tidy(self.run.folder)
        return self.record


def _moved(faces: FaceSet, offset: np.ndarray) -> FaceSet:
    """Faces whose labels have lost an offset (k, 2)."""
    if not offset.any():
        return faces
    return replace(faces, keypoints=(faces.keypoints - offset).astype(np.float32))


def _outcome(job: Job, rows: list[dict[str, float]]) -> dict[str, Any]:
    """What run.json keeps of a subset's history."""
    from kfkd.learning.jobs import steps_per_epoch

    seconds = sum(row["seconds"] for row in rows)
    images = steps_per_epoch(job) * min(job.recipe.batch_size, len(job.train)) * len(rows)
    best = min(rows, key=lambda row: row.get("val_rmse", row["rmse"]))
    return {
        "epochs": len(rows),
        "best_epoch": int(best["epoch"]),
        "best_val_rmse": best.get("val_rmse"),
        "seconds": round(seconds, 1),
        "images_per_second": round(images / max(seconds, 1e-9), 1),
    }


def _save_model(model: Model, path: Path) -> None:
    """Writes the model without its training set-up, so that plain Keras loads the file too."""
    # Bare tensors, not lists of one: a model with a list of inputs warns at every array it gets.
    bare = keras.Model(model.input, model.output, name=model.name)
    with replacing(path, 4 * bare.count_params()) as beside:
        bare.save(beside)


def tidy(folder: Path) -> None:
    """Removes a run's checkpoints, and what trainings killed in the middle of a write left."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    sweep(folder, alone=True)
