"""Training a zoo entry: from data to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.augment import Mix
from kfkd.data import as_faces
from kfkd.errors import KfkdError
from kfkd.evaluation import own_data
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.learning.checks import check
from kfkd.learning.determinism import one_op_at_a_time
from kfkd.learning.opening import opened_run
from kfkd.learning.saved_settings import saved_arguments
from kfkd.learning.settings import Settings, changed_recipe, chosen_mix
from kfkd.learning.trainer import Trainer
from kfkd.machines.cluster import Machines
from kfkd.machines.devices import check_devices, devices_for
from kfkd.machines.joining import join
from kfkd.progress import say
from kfkd.registry import entry
from kfkd.run_records import check_record
from kfkd.runs import RECORD, Run, load_run
from kfkd.several import several
from kfkd.suspects import suspects_from

if TYPE_CHECKING:
    from keras.callbacks import Callback


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
    callbacks: Sequence[Callback] = (),
    precision: str = "float32",
    augment: str | Mix | Callable[..., Any] | None = "published",
    copies: bool | None = None,
    split_seed: int | None = None,
    fold: tuple[int, int] | None = None,
    suspects: str | Path | None = None,
    codec: Mapping[str, Any] | None = None,
    start: Run | str | Path | None = None,
    teachers: Run | str | Path | Sequence[Run | str | Path] | None = None,
    teacher_share: float | None = None,
    drop_incomplete: bool = False,
    options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    devices: int | str | None = None,
    machines: Machines | str | None = None,
    **recipe: Any,
) -> Run:
    """Trains a model of the zoo with its published settings, or others where an argument says so.

    Everything that matters is written to the run folder after each epoch. Where `out` holds an
    unfinished run of the same settings, training goes on from its last epoch and comes to the same
    result as one left alone; where it holds a finished one, that is returned.

    Args:
        name: entry of the zoo, see `kfkd.list_models()`.
        data: labelled faces, see `kfkd.load_faces`, or where they are: a path, "ibug:PATH" and so
            on, whose faces get the size that the entry wants; None = where Kaggle's files usually
            are, else built-in faces.
        subsets: "dense" (8 coordinates), "sparse" (22), "all" (30), or several, a model each;
            None = the entry's, or all together where the data has no such subsets.
        epochs: at the most; None = the entry's, as are the following where None.
        batch_size: images a step.
        learning_rate: the optimiser's first rate.
        seed: of split, initialisation, order and augmentation.
        validation: share of the images held out, whole groups of identical ones at a time.
        callbacks: more Keras callbacks; their state is not part of the checkpoint.
        precision: "float32", "mixed_bfloat16" or "mixed_float16"; outputs are float32 always.
        augment: "published" = the entry's mix; a mix of `kfkd.augment`, its name ("standard") or
            its text ("flip(p=0.5), rotate(15)"); None = images as they are; or a function of your
            own, `(images uint8 (b, h, w, c), keypoints (b, k, 2), seed int32 (2,))` → the same,
            changed: `keras.ops` or operations of the backend, run inside the input pipeline, known
            by its `__name__`, and a resumed run wants the same.
        copies: train on one fixed copy of every image for each branch of the mix instead of
            drawing anew in every epoch; None = as published for the published mix, else no.
        split_seed: of the split alone, for runs of several seeds on the same split; None = `seed`.
        fold: (i, k) = hold out fold i, from 0, of k instead of the share `validation`; a recipe
            that chooses its epoch or rate by a validation score gets that share of the other rows
            for it, so that nothing is chosen by the fold. See `kfkd.cross_validate`.
        suspects: an audit.csv of `kfkd.audit`: the labels that it says to drop are not learned;
            held-out rows keep all of theirs.
        codec: changed settings of the entry's codec, such as {"sigma": 3.0}, or another kind: a
            net of coordinates gets a head of maps, {"codec": "heatmap", "stride": 4, "sigma": 6},
            one that answers with maps keeps their size, {"codec": "integral", "margin": 0}.
        start: a finished run of the same entry whose weights the training begins with, such as
            "pyramid" for those that come with the package; a last layer for other keypoints begins
            at random. Held-out images that it has learned are refused; order and augmentation
            are drawn on from where it ended, so that the same seed does not repeat its draws.
        teachers: finished runs whose answers are learned where a label is missing, see
            `kfkd.learning.teaching`: with `suspects`, in the place of dropped labels too.
        teacher_share: how much of the labels that are there comes from the teachers, 0 to 1.
        drop_incomplete: leave out training rows that miss a label of the subset, as the study did;
            otherwise missing labels are masked and no row is lost.
        options: for the builder, such as {"weights": "imagenet"}.
        out: the run folder; None = runs/NAME-YYYYmmdd-HHMMSS.
        quiet: no progress.
        devices: how many devices of this machine share every batch, or "all": GPUs, else the
            processors that the backend sees; None = one. The result is that of one device, see
            docs/distributed.md. Not part of the settings: a run may go on with others.
        machines: `kfkd.Machines`, or "auto", where several train together, each called with the
            same arguments, under JAX; only machine 0 needs `out`.
        **recipe: other fields of `kfkd.registry.Recipe`, such as `loss`, `early_stopping`.

    Returns:
        The finished run.

    Raises:
        UnknownName: when the zoo has no such model or the skeleton no such subset.
        KfkdError: when a setting makes no sense.
        RunError: when `out` holds a run of other settings or other data, or something else than
            a run, or the loss diverged; `kfkd.errors.InUse` when another process trains it.
        WriteError: when the disk is full or `out` may only be read; all epochs but the last are
            kept then.
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
    told = {k: v for k, v in changed.items() if v is not None}
    asked, mix, own = chosen_mix(changed_recipe(found, {**recipe, **told}), augment, copies)
    listed = None if suspects is None else suspects_from(suspects)
    settings = Settings(
        model=name,
        subsets=(subsets,) if isinstance(subsets, str) else tuple(subsets or found.subsets),
        recipe=asked,
        seed=int(seed) if isinstance(seed, np.integer) else seed,
        precision=precision,
        drop_incomplete=drop_incomplete,
        augment=getattr(own, "__name__", type(own).__name__) if own else None,
        options=dict(options or {}),
        mix=str(mix) if mix else None,
        split_seed=split_seed,
        fold=tuple(fold) if isinstance(fold, list) else fold,
        suspects=(str(listed) or None) if listed else None,
        codec=dict(codec) if codec else None,
        start=None if start is None else _named(start),
        teachers=None if teachers is None else tuple(map(_named, _teachers(teachers))),
        teacher_share=teacher_share,
    )
    check(settings)
    if (backend := keras.config.backend()) not in ("tensorflow", "jax"):
        raise KfkdError(f"training wants KERAS_BACKEND=tensorflow or jax. Received: {backend}")
    check_devices(devices, several=machines not in (None, Machines()))
    joined = join(machines, quiet)
    quiet = quiet or not joined.writes
    if not one_op_at_a_time():
        say("TensorFlow was in use before this training: a rerun may differ slightly", quiet)
    shared = devices_for(devices, joined)
    with joined.watched():
        faces = as_faces(data, quiet=quiet, frame=found.input_shape)
        if listed:
            listed.check(faces)
        settings = _of_these_points(settings, faces, asked=subsets is not None, quiet=quiet)
        if mix and mix.frame.size not in (None, faces.images.shape[1:3]):
            raise KfkdError(
                f"training wants a mix that keeps the images' size, {faces.images.shape[1:3]}. "
                f"Received: {mix}"
            )
        with opened_run(name, out, settings, faces, joined) as run:
            if run.finished:
                say(f"{run.folder} is finished already; its metrics stand in {RECORD}", quiet)
                return run
            own_calls = tuple(callbacks)
            return Trainer(run, settings, faces, mix or own, own_calls, quiet, shared).go()


def _of_these_points(settings: Settings, faces: FaceSet, asked: bool, quiet: bool) -> Settings:
    """The settings, for all keypoints where the data has no such subsets and none were asked for.

    Raises:
        UnknownName: when the data lacks a subset that was asked for.
    """
    has = {"all", *faces.skeleton.subsets}
    if not asked and (lacking := [s for s in settings.subsets if s not in has]):
        told = f"the data's {len(faces.skeleton)} keypoints have no {', '.join(lacking)}"
        say(f"{told}: all of them are learned together", quiet)
        return replace(settings, subsets=("all",))
    for subset in settings.subsets:
        faces.skeleton.subset(subset)
    return settings


def resume(
    folder: str | Path,
    data: Any = None,
    quiet: bool = False,
    devices: int | str | None = None,
    machines: Machines | str | None = None,
) -> Run:
    """Goes on with an unfinished run, with the settings and data that its run.json names.

    Args:
        folder: the run's folder.
        data: where the data is now; None = where it was.
        quiet: no progress.
        devices: as for `train`.
        machines: as for `train`; only machine 0 needs the folder.

    Returns:
        The finished run.

    Raises:
        RunError: when the run used an augmentation of the user's own, which only `train` can be
            given again, or the settings in its run.json are none.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.resume("runs/doc", quiet=True).finished
        True
    """
    check_devices(devices, several=machines not in (None, Machines()))
    # Alone it says what is wrong with the folder before a backend is there.
    joined = Machines() if machines is None else join(machines, quiet)
    with joined.watched():
        record = joined.told(lambda: load_run(folder).record)
    run = Run(Path(folder), check_record(record, Path(folder, RECORD)))
    arguments = saved_arguments(run)
    data = own_data(run) if data is None else data
    name = arguments.pop("name")
    return train(
        name, data, out=folder, quiet=quiet, devices=devices, machines=machines, **arguments
    )


def _teachers(runs: Any) -> list[Run | str | Path]:
    return several(runs, Run | str | Path, "teachers, runs or their folders,")


def _named(run: Run | str | Path) -> str:
    """A run as run.json names it."""
    return str(run.folder if isinstance(run, Run) else run)
