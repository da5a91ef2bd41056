"""Searching good settings for an entry with Keras Tuner."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kfkd.data import as_faces
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.learning.determinism import one_op_at_a_time
from kfkd.machine import versions
from kfkd.pipelines.splits import grouped_split
from kfkd.progress import say
from kfkd.registry import entry
from kfkd.searches.checks import check_settings, earlier_facts, enough, space_facts
from kfkd.searches.plan import Plan, tuner_called, usual_trials
from kfkd.searches.results import Search, read_search
from kfkd.searches.scores import chosen_objective
from kfkd.searches.spaces import Space, search_space
from kfkd.storage.locks import locked

_OWN = ("name", "callbacks", "seed", "out", "quiet")
_ENTRYS = ("subsets", "batch_size", "learning_rate", "validation", "copies", "split_seed")
_ADDRESS = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def tune(
    name: str,
    data: Any = None,
    *,
    tuner: str = "random",
    trials: int | None = None,
    epochs: int | None = None,
    objective: str | None = None,
    space: Space | None = None,
    seed: int = 0,
    subsets: str | Sequence[str] | None = None,
    precision: str = "float32",
    factor: int = 3,
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Search:
    """Searches good settings for an entry of the zoo with Keras Tuner.

    A trial is a training of its own, with its run folder; all share one split and are measured on
    its held-out images. The first one has the published settings. Trials that fail, because the
    loss is no longer a number, memory is full or a net cannot be built, are recorded and passed
    over; five failures in a row end the search with the reason.

    A stopped or killed search goes on when it is called again: finished trials are not repeated,
    and one that was running goes on from its last epoch. A finished one is returned as it is; more
    `trials` may be asked for then. Hyperband's trials go on from the state in which the earlier,
    shorter ones ended, wherever that is the same as training at once.

    Several processes or machines share a search where Keras Tuner's variables KERASTUNER_TUNER_ID
    ("chief" or a name), KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT are set, and `out` is a
    folder that all of them see. All return the whole search when its last trial has ended. The
    trial of a worker that is gone goes to another, see docs/distributed.md.

    Args:
        name: entry of the zoo.
        data: labelled faces, as for `kfkd.train`.
        tuner: "random", "bayesian", "hyperband" or "grid", or keras-tuner's names of them.
        trials: how many at the most; None = 20, and as many as Hyperband or the grid has.
        epochs: of a trial, at the most; None = the entry's.
        objective: the score on the held-out images to make small, by its name in a run's metrics:
            "kaggle_rmse", "all", "dense", …, of other points than Kaggle's "nme", "nme_box",
            "pixel_mae", …; None = "kaggle_rmse" for Kaggle's points and "nme" for others, where
            they can be measured, else "all".
        space: a function of `keras_tuner.HyperParameters` that returns settings of `kfkd.train`,
            such as {"learning_rate": hp.Float(…), "options": {…}}; None = the entry's, see
            `kfkd.searches.spaces`.
        seed: of split, initialisation, order, augmentation and tuner, the same in all trials.
        subsets: as for `kfkd.train`.
        precision: as for `kfkd.train`.
        factor: of Hyperband: so many times fewer trials go on, for so many times the epochs.
        out: the search's folder; None = kfkd-tune/NAME-TUNER.
        quiet: no progress.
        **settings: others of `kfkd.train`, which are fixed: `batch_size`, `augment`, `options`, ….

    Returns:
        The search: print it, take `.best`, the best trial's run, or `.as_dict()`.

    Raises:
        UnknownName: when there is no such model, tuner, objective or setting.
        KfkdError: when a setting makes no sense or is both fixed and varied, a grid is too large,
            or `out` holds something else.
        RunError: when `out` holds a search of other settings or other data, or trials fail in a
            row; `kfkd.errors.InUse` when another process searches there without being its worker.

    Example:
        >>> import kfkd
        >>> found = kfkd.tune("study_model_1", "kaggle", tuner="hyperband")  # doctest: +SKIP
        >>> kfkd.submit(found.best, clip=True)  # doctest: +SKIP
    """
    recipe, tuner = entry(name).recipe, tuner_called(tuner)
    if space is not None and not callable(space):
        raise KfkdError(f"space wants a function of HyperParameters. Received: {space!r:.200}")
    fixed = _given({"subsets": subsets, "precision": precision, **settings})
    free = search_space(name, {*fixed, *fixed.get("options", {})})
    plan = Plan(
        out=Path("kfkd-tune", f"{name}-{tuner}") if out is None else Path(out).expanduser(),
        model=name,
        tuner=tuner,
        trials=usual_trials(tuner, trials),
        epochs=recipe.epochs if epochs is None else epochs,
        factor=factor,
        seed=seed,
        settings=fixed,
        space=space or free,
        own_space=space is not None,
        objective=objective,
    )
    _check(plan)
    one_op_at_a_time()
    faces = as_faces(data, quiet=quiet, frame=entry(name).input_shape)
    return _searched(plan, faces, _named(data, faces), quiet)


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something: to `kfkd.train` None is the entry's own in these."""
    options = settings.get("options")
    if not isinstance(options, Mapping | None):
        raise KfkdError(f"options want names with values. Received: {options!r:.200}")
    given = {k: v for k, v in settings.items() if v is not None or k not in _ENTRYS}
    return given if options else {k: v for k, v in given.items() if k != "options"}


def _check(plan: Plan) -> None:
    """Refuses what makes no search, before anything is read or written."""
    if wrong := [key for key in _OWN if key in plan.settings]:
        raise KfkdError(f"tune sets {', '.join(_OWN)} itself. Received: {', '.join(wrong)}")
    if plan.settings.get("fold") is not None:
        raise KfkdError(
            "tune holds out a share of the rows (validation), a fold is for measuring what it "
            f"finds. Received: fold={plan.settings['fold']!r}"
        )
    share = plan.settings.get("validation", entry(plan.model).recipe.validation)
    if not share:
        raise KfkdError("tune measures on held-out images. Received: validation=0")
    for key, value, least in (
        ("trials", 1 if plan.trials is None else plan.trials, 1),
        ("epochs", plan.epochs, 1),
        ("factor", plan.factor, 2),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise KfkdError(f"{key} wants a whole number from {least}. Received: {value!r}")
    given = [key for key in _ADDRESS if os.environ.get(key)]
    if given and len(given) < len(_ADDRESS):
        raise KfkdError(f"a shared search wants {', '.join(_ADDRESS)}. Received: {given[0]} only")


def _named(data: Any, faces: FaceSet) -> str | None:
    """How a command names the data; None for faces in memory."""
    if data is None:
        return faces.path or "synthetic"
    return str(data) if isinstance(data, str | Path) else None


def _searched(plan: Plan, faces: FaceSet, named: str | None, quiet: bool) -> Search:
    from keras_tuner import HyperParameters

    from kfkd.searches.engine import Engine, role

    hp = HyperParameters()
    drawn = plan.drawn(hp)
    check_settings(plan, drawn)
    if not hp.space:
        raise KfkdError(f"nothing is varied: every setting of {plan.model} is fixed")
    share = drawn.get("validation", entry(plan.model).recipe.validation)
    rows = grouped_split(faces, share, drawn.get("split_seed", plan.seed))
    learned, held_out = (faces[side] for side in rows)
    subsets = drawn.get("subsets", entry(plan.model).subsets)
    subsets = [subsets] if isinstance(subsets, str) else list(subsets)
    objective = chosen_objective(plan.objective, learned, held_out, subsets)
    plan = replace(plan, objective=objective)
    facts = {
        **_facts(plan, faces, plan.command(named)),
        "subsets": subsets,
        "train": len(learned),
        "validation": len(held_out),
        "space": space_facts(hp),
        "published": _plain(drawn),
    }
    # Workers share the folder; each of their trials has a lock of its own.
    with nullcontext() if role() == "worker" else locked(plan.out):
        old = earlier_facts(plan.out, facts)
        if enough(old, plan.trials):
            say(f"{plan.out} is finished already", quiet)
            return read_search(plan.out, {**facts, **old})
        return Engine(plan, facts, faces, hp, quiet).search()


def _facts(plan: Plan, faces: FaceSet, command: str) -> dict[str, Any]:
    return {
        "model": plan.model,
        "data": faces.origin,
        "rows": len(faces),
        "fingerprint": faces.fingerprint,
        "tuner": plan.tuner,
        "objective": plan.objective,
        "trials": plan.trials,
        "epochs": plan.epochs,
        "factor": plan.factor if plan.tuner == "hyperband" else None,
        "seed": plan.seed,
        "precision": plan.settings["precision"],
        "own_space": plan.own_space,
        "settings": _plain(plan.settings),
        "versions": {**versions(), "keras-tuner": version("keras-tuner")},
        "command": command,
        "finished": False,
    }


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON has them, whatever they are."""
    return json.loads(json.dumps(settings, default=str))
