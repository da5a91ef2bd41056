"""Training a zoo entry: from data to a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.data import as_faces
from kfkd.determinism import one_op_at_a_time
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.evaluation import mean_faces, score_faces
from kfkd.faces import FaceSet
from kfkd.machine import machine, versions
from kfkd.metrics import mean_face, rmse
from kfkd.pipelines.batches import rows_for
from kfkd.pipelines.splits import grouped_split
from kfkd.progress import duration, say
from kfkd.registry import Entry, Recipe, entry
from kfkd.runs import RECORD, Run, load_run, save_record

if TYPE_CHECKING:
    import keras

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Settings:
    """What a training was asked for; equal settings on equal data give equal results.

    Args:
        model: zoo entry.
        subsets: keypoint subsets, a model each.
        recipe: loss, optimiser, rates, epochs and so on.
        seed: of split, initialisation, order and augmentation.
        precision: Keras dtype policy.
        drop_incomplete: leave out training rows that miss a label of the subset.
        augment: name of the augmentation.
        options: for the builder.
    """

    model: str
    subsets: tuple[str, ...]
    recipe: Recipe
    seed: int
    precision: str
    drop_incomplete: bool
    augment: str | None
    options: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """The settings as they stand in run.json."""
        import json

        return json.loads(json.dumps(asdict(self)))


def train(
    name: str,
    data: Any = None,
    *,
    subsets: str | Sequence[str] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    validation: float | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    precision: str = "float32",
    augment: Callable[..., Any] | None = None,
    drop_incomplete: bool = False,
    options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **recipe: Any,
) -> Run:
    """Trains a model of the zoo as published, or otherwise where an argument says so.

    Everything that matters is written to the run folder after each epoch. Where `out` holds an
    unfinished run of the same settings, training goes on from its last epoch and comes to the same
    result as one left alone; where it holds a finished one, that is returned.

    Args:
        name: entry of the zoo, see `kfkd.list_models()`.
        data: labelled faces, see `kfkd.load_faces`; None = where Kaggle's files usually are, else
            built-in faces.
        subsets: "dense" (8 coordinates), "sparse" (22), "all" (30), or several, a model each;
            None = the entry's.
        epochs: at the most; None = the entry's, as are the following where None.
        batch_size: images a step.
        learning_rate: the optimiser's first rate.
        seed: of split, initialisation, order and augmentation.
        validation: share of the images held out, whole groups of identical ones at a time.
        callbacks: more Keras callbacks; their state is not part of the checkpoint.
        precision: "float32", "mixed_bfloat16" or "mixed_float16"; outputs are float32 always.
        augment: `(images uint8 (b, h, w, c), keypoints (b, k, 2), seed int32 (2,))` → the same,
            changed; TensorFlow operations, run inside the input pipeline. Name it by its
            `__name__`: a resumed run wants the same.
        drop_incomplete: leave out training rows that miss a label of the subset, as the study did;
            otherwise missing labels are masked and no row is lost.
        options: for the builder, such as {"weights": "imagenet"}.
        out: the run folder; None = runs/NAME-YYYYmmdd-HHMMSS.
        quiet: no progress.
        **recipe: other fields of `kfkd.registry.Recipe`, such as `loss`, `early_stopping`.

    Returns:
        The finished run.

    Raises:
        UnknownName: when the zoo has no such model or the skeleton no such subset.
        KfkdError: when a setting makes no sense.
        RunError: when `out` holds a run of other settings or other data, or the loss diverged.
        DataError: when the data cannot be read or has no labels to learn from.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> sorted(run.metrics)[:2]
        ['images', 'keypoints']
    """
    found = entry(name)
    changed = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation": validation,
    }
    settings = Settings(
        model=name,
        subsets=(subsets,) if isinstance(subsets, str) else tuple(subsets or found.subsets),
        recipe=_recipe(found, {**recipe, **{k: v for k, v in changed.items() if v is not None}}),
        seed=seed,
        precision=precision,
        drop_incomplete=drop_incomplete,
        augment=getattr(augment, "__name__", type(augment).__name__) if augment else None,
        options=dict(options or {}),
    )
    _check(settings)
    if not one_op_at_a_time():
        say("TensorFlow was in use before this training: a rerun may differ slightly", quiet)
    faces = as_faces(data, quiet=quiet)
    for subset in settings.subsets:
        faces.skeleton.subset(subset)
    folder = Path(out) if out is not None else _new_folder(name)
    run = _opened(folder, settings, faces)
    if run.finished:
        say(f"{folder} is finished already; its metrics stand in {RECORD}", quiet)
        return run
    return _Training(run, settings, faces, augment, tuple(callbacks), quiet).go()


def resume(folder: str | Path, data: Any = None, quiet: bool = False) -> Run:
    """Goes on with an unfinished run, with the settings and data that its run.json names.

    Args:
        folder: the run's folder.
        data: where the data is now; None = where it was.
        quiet: no progress.

    Returns:
        The finished run.

    Raises:
        RunError: when the run used an augmentation of the user's own, which only `train` can be
            given again.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.resume("runs/doc", quiet=True).finished
        True
    """
    from kfkd.evaluation import own_data

    run = load_run(folder)
    saved = dict(run.record["settings"])
    if saved.pop("augment"):
        raise RunError(f"{folder} was trained with an own augmentation; call train with it again")
    recipe = dict(saved.pop("recipe"))
    return train(
        saved.pop("model"),
        own_data(run) if data is None else data,
        out=folder,
        quiet=quiet,
        **saved,
        **_rebuilt(recipe),
    )


def _rebuilt(recipe: dict[str, Any]) -> dict[str, Any]:
    from kfkd.registry import Phase, Plateau

    if recipe.get("plateau"):
        recipe["plateau"] = Plateau(**recipe["plateau"])
    recipe["phases"] = tuple(Phase(**phase) for phase in recipe.get("phases", ()))
    recipe["augment"] = None
    return recipe


def _recipe(found: Entry, changed: Mapping[str, Any]) -> Recipe:
    known = set(Recipe.__dataclass_fields__)
    for key in changed:
        if key not in known:
            raise UnknownName("setting of a training", key, sorted(known))
    # The published mix is a name until the caller hands in an augmentation.
    return replace(found.recipe, **{"augment": None, **changed})


def _check(settings: Settings) -> None:
    from kfkd.losses import LOSSES

    recipe = settings.recipe
    wanted = {
        "epochs": (recipe.epochs >= 1, "at least 1"),
        "batch_size": (recipe.batch_size >= 1, "at least 1"),
        "learning_rate": (recipe.learning_rate > 0, "more than 0"),
        "validation": (0 <= recipe.validation < 1, "a share in [0, 1)"),
    }
    for key, (fits, what) in wanted.items():
        if not fits:
            raise KfkdError(f"{key} wants {what}. Received: {getattr(recipe, key)}")
    if not 0 <= settings.seed < 2**31:
        raise KfkdError(f"seed wants a number from 0 to 2147483647. Received: {settings.seed}")
    if settings.precision not in PRECISIONS:
        raise UnknownName("precision", settings.precision, list(PRECISIONS))
    if recipe.loss not in LOSSES:
        raise UnknownName("loss", recipe.loss, list(LOSSES))
    if recipe.optimizer.lower() not in _optimizers():
        raise UnknownName("optimizer", recipe.optimizer, _optimizers())


def _optimizers() -> list[str]:
    """Names of Keras' optimisers; none is made, that would be TensorFlow's first operation."""
    import keras

    kinds = {name: kind for name, kind in vars(keras.optimizers).items() if isinstance(kind, type)}
    return [name.lower() for name, kind in kinds.items() if kind is not keras.Optimizer]


def _new_folder(name: str) -> Path:
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, count = Path("runs") / stem, 2
    while folder.exists():
        folder, count = Path("runs") / f"{stem}-{count}", count + 1
    return folder


def _opened(folder: Path, settings: Settings, faces: FaceSet) -> Run:
    """The run in `folder`, made where there is none, checked where there is one."""
    data = {
        "origin": faces.origin,
        "path": faces.path,
        "fingerprint": faces.fingerprint,
        "rows": len(faces),
        "sources": {str(s): int((faces.source == s).sum()) for s in np.unique(faces.source)},
    }
    if not (folder / RECORD).exists():
        record = {
            "model": settings.model,
            "status": "running",
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "settings": settings.plain(),
            "skeleton": faces.skeleton.name,
            "data": data,
            "split": {},
            "subsets": {},
            "machine": machine(),
            "versions": versions(),
        }
        save_record(folder, record)
        return Run(folder, record)
    run = load_run(folder)
    for what, new, old in (
        ("settings", settings.plain(), run.record["settings"]),
        ("data", data["fingerprint"], run.record["data"].get("fingerprint")),
    ):
        if new != old:
            raise RunError(
                f"{folder} holds a run with other {what} ({_difference(new, old)}); "
                "choose another folder, or remove it"
            )
    return run


def _difference(new: Any, old: Any) -> str:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return f"received {new}, it has {old}"
    keys = [key for key in {**old, **new} if new.get(key) != old.get(key)]
    return "; ".join(f"{key}: {_difference(new.get(key), old.get(key))}" for key in keys)


@dataclass
class _Training:
    run: Run
    settings: Settings
    faces: FaceSet
    augment: Callable[..., Any] | None
    callbacks: tuple[Any, ...]
    quiet: bool

    def go(self) -> Run:
        began = time.monotonic()
        train_rows, validation_rows = grouped_split(
            self.faces, self.settings.recipe.validation, self.settings.seed
        )
        self.train, self.validation = self.faces[train_rows], self.faces[validation_rows]
        record = self.run.record
        record["split"] = {
            "seed": self.settings.seed,
            "share": self.settings.recipe.validation,
            "train": len(train_rows),
            "validation": len(validation_rows),
        }
        record["mean_face"] = mean_faces(self.train)
        say(self._greeting(), self.quiet)
        self.history = self.run.history()
        for subset in self.settings.subsets:
            if not self._fitted(subset):
                self._fit(subset)
        self._finish()
        say(f"done in {duration(time.monotonic() - began)}: {self.run.folder}", self.quiet)
        return self.run

    def _greeting(self) -> str:
        recipe = self.settings.recipe
        return (
            f"{self.settings.model}: {len(self.train)} training and {len(self.validation)} "
            f"validation images, {recipe.epochs} epochs at most, batch {recipe.batch_size}, "
            f"{self.settings.precision}, seed {self.settings.seed} → {self.run.folder}"
        )

    def _fitted(self, subset: str) -> bool:
        """The model is written first, then its facts: only both together mean that it is done."""
        facts = self.run.record["subsets"].get(subset, {})
        return "epochs" in facts and (self.run.folder / f"{subset}.keras").is_file()

    def _fit(self, subset: str) -> None:
        from kfkd.fitting import Job, fit, steps_per_epoch

        learn = self.train[rows_for(self.train, subset, self.settings.drop_incomplete)]
        if not len(learn):
            raise DataError(f"no training row labels the subset {subset!r}")
        measured = self.validation[rows_for(self.validation, subset)]
        chosen = list(self.faces.skeleton.subset(subset))
        flat = rmse(measured.keypoints[:, chosen], mean_face(learn.keypoints)[chosen])
        job = Job(
            name=self.settings.model,
            subset=subset,
            recipe=self.settings.recipe,
            codec=entry(self.settings.model).codec,
            seed=self.settings.seed,
            precision=self.settings.precision,
            options=self.settings.options,
            train=learn,
            validation=measured,
            mean_face=flat,
            augment=self.augment,
            callbacks=self.callbacks,
            checkpoint=self.run.folder / "checkpoint" / f"{subset}.npz",
            on_epoch=lambda rows: self._save_history(subset, rows),
            quiet=self.quiet,
        )
        self._save_subset(subset, job, None)
        model, rows = fit(job)
        self._save_history(subset, rows)
        _save_model(model, self.run.folder / f"{subset}.keras")
        seconds = sum(row["seconds"] for row in rows)
        images = steps_per_epoch(job) * min(self.settings.recipe.batch_size, len(learn)) * len(rows)
        best = min(rows, key=lambda row: row.get("val_rmse", row["rmse"]))
        self._save_subset(
            subset,
            job,
            {
                "params": model.count_params(),
                "epochs": len(rows),
                "best_epoch": int(best["epoch"]),
                "best_val_rmse": best.get("val_rmse"),
                "seconds": round(seconds, 1),
                "images_per_second": round(images / max(seconds, 1e-9), 1),
            },
        )

    def _save_history(self, subset: str, rows: list[dict[str, float]]) -> None:
        from kfkd.runs import save_history

        self.history[subset] = rows
        save_history(self.run.folder, self.history)

    def _save_subset(self, subset: str, job: Any, result: dict[str, Any] | None) -> None:
        facts = self.run.record["subsets"].setdefault(subset, {})
        facts.update(
            codec=job.codec.config(),
            train_rows=len(job.train),
            validation_rows=len(job.validation),
            mean_face=None if np.isnan(job.mean_face) else round(job.mean_face, 5),
            **(result or {}),
        )
        save_record(self.run.folder, self.run.record)

    def _finish(self) -> None:
        from kfkd.run_pictures import draw_run

        record = self.run.record
        held_out = self.validation if len(self.validation) else self.train
        predicted = self.run.predict(held_out.images)
        record["metrics"] = score_faces(held_out, predicted, record["mean_face"]).as_dict()
        record["metrics"]["on"] = "validation" if len(self.validation) else "training"
        draw_run(self.run, held_out, predicted)
        record["status"] = "finished"
        save_record(self.run.folder, record)
        _tidy(self.run.folder)


def _save_model(model: keras.Model, path: Path) -> None:
    """Writes the model without its training set-up, so that plain Keras loads the file too."""
    import keras

    from kfkd.files import replacing

    # Bare tensors, not lists of one: a model with a list of inputs warns at every array it gets.
    bare = keras.Model(model.input, model.output, name=model.name)
    with replacing(path) as beside:
        bare.save(beside)


def _tidy(folder: Path) -> None:
    """Removes the checkpoints, and what trainings killed in the middle of a write left."""
    import shutil

    from kfkd.files import sweep

    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    for path in list(folder.iterdir()):
        sweep(path)
