"""Cross-validation: several models and seeds, trained fold by fold, and what they never saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kfkd.comparisons.plan import seed_numbers
from kfkd.folds.cross_validation import CrossValidation
from kfkd.folds.plan import Plan, check_plan
from kfkd.folds.work import FoldWork
from kfkd.progress import say
from kfkd.row_numbers import named_rows
from kfkd.storage.locks import locked


def cross_validate(
    models: str | Sequence[str],
    data: Any = None,
    *,
    k: int = 5,
    seeds: int | Sequence[int] = 1,
    fold_seed: int = 0,
    without: Iterable[int | str | Path] = (),
    row_numbers: str | Path | None = None,
    out: str | Path = "kfkd-folds",
    quiet: bool = False,
    **settings: Any,
) -> CrossValidation:
    """Trains each model on all but one fold, for each fold and seed; keeps what it predicts there.

    Folds are drawn as splits are, whole groups at a time, by `fold_seed` alone: all models and
    seeds share them. A fold decides nothing in its trainings, see `fold` of `kfkd.train`.

    A stopped cross-validation goes on when it is called again; more seeds and models may be asked
    for then. `out` comes to hold results.json, table.md, a run folder MODEL/seed-N/fold-I for each
    training, and MODEL/oof.npz: out-of-fold predictions with labels, rows, folds and the data's
    fingerprint, which ensembles and audits work with.

    Args:
        models: entries of the zoo.
        data: labelled faces, see `kfkd.load_faces`; None = as for `kfkd.train`.
        k: folds, at least 2.
        seeds: of the trainings: how many, counted from 0, or which. Each is scored, and the mean
            of their predictions, which is what ensembles work with.
        fold_seed: of the folds.
        without: rows that the "clean" figures leave out, by number from 1, or files of numbers;
            nothing else depends on them.
        row_numbers: a CSV of row and kaggle_row, where `without` has the numbers of another file,
            see `kfkd.row_numbers.named_rows`.
        out: the folder.
        quiet: no progress.
        **settings: others of `kfkd.train`, such as `epochs`; the same for every model. `start` may
            be another cross-validation of the same folds or its folder: each training then begins
            with the net of the same model, seed and fold.

    Returns:
        The cross-validation: print it, or take `.as_dict()`.

    Raises:
        UnknownName: when there is no such model.
        KfkdError: when a setting makes no sense, or `out` holds something else.
        RunError: when `out` holds runs of other settings or other data, or a loss diverged;
            `kfkd.errors.InUse` when another process is at work there.

    Example:
        >>> import kfkd
        >>> found = kfkd.cross_validate(["pyramid", "study_model_1"], k=5)  # doctest: +SKIP
        >>> found.models["pyramid"]["pooled"]["all"]["model"]["kaggle_rmse"]  # doctest: +SKIP
        1.93
    """
    names = (models,) if isinstance(models, str) else tuple(models)
    place, left_out = Path(out).expanduser(), list(without)
    if isinstance(start := settings.get("start"), CrossValidation):
        settings["start"] = str(start.out)
    plan = Plan(place, names, k, seed_numbers(seeds), fold_seed, settings)
    check_plan(plan)
    data = str(data) if isinstance(data, Path) else data
    work = FoldWork(plan, data, quiet)
    named = named_rows(left_out, work.faces(names[0]).ids, row_numbers) if left_out else None
    with locked(place):
        work.begin(named, plan.command(data, left_out, row_numbers))
        count = len(plan.seeds)
        told = f"{k} folds × {count} seed{'s' * (count > 1)}"
        say(f"{', '.join(names)}: {told} → {place}", quiet)
        for training in plan.trainings():
            work.train(*training)
        work.write()
    return work.found
