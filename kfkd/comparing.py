"""Comparing augmentation mixes: several seeds of each on the same split, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from kfkd.augment import Mix
from kfkd.comparisons.pictures import comparison_picture
from kfkd.comparisons.plan import Plan, earlier_rows, mix_text, mix_texts, seed_numbers
from kfkd.comparisons.significance import METRICS, Comparison, compared
from kfkd.data import as_faces
from kfkd.drawing.figures import save_figure
from kfkd.errors import KfkdError, RunError
from kfkd.faces import FaceSet
from kfkd.learning.determinism import one_op_at_a_time
from kfkd.learning.settings import changed_recipe
from kfkd.machine import machine_words, versions
from kfkd.pipelines.splits import grouped_split
from kfkd.progress import duration, say
from kfkd.registry import Recipe, entry
from kfkd.runs import Run, load_run
from kfkd.storage.files import write_json, write_text
from kfkd.storage.locks import locked
from kfkd.training import train
from kfkd.zoo_tables import packaged

FILES = ("table.md", "results.json", "comparison.png")
"""What a comparison's folder holds besides its runs."""

_RECIPE = ("epochs", "batch_size", "learning_rate", "loss", "restore_best")
_OWN = ("name", "augment", "copies", "seed", "callbacks")


def compare(
    data: Any = None,
    model: str = "simple_cnn",
    mixes: Sequence[str | Mix] | None = None,
    seeds: int | Sequence[int] = 3,
    *,
    split_seed: int = 0,
    epochs: int | None = None,
    subsets: str | Sequence[str] | None = None,
    precision: str = "float32",
    out: str | Path = "kfkd-compare",
    quiet: bool = False,
    **settings: Any,
) -> Comparison:
    """Trains a model with several augmentation mixes and says which of them make a difference.

    All trainings share one split, the held-out images are never augmented, and mixes are drawn
    anew in every epoch, so that none wins by more steps. Each mix is compared with the first one
    by Dunnett's test; every seed gives all mixes the same first weights, so seeds are its blocks.
    By default it is the Kaggle study's comparison, done right.

    A stopped comparison goes on when it is called again; more seeds or mixes may be asked for
    then. `out` comes to hold table.md, results.json, comparison.png and a run folder MIX/seed-N
    for each training. Trainings that results.json knows are not repeated where their folders are
    gone: it is enough to keep that file.

    Args:
        data: labelled faces, see `kfkd.load_faces`; None = as for `kfkd.train`.
        model: entry of the zoo.
        mixes: names or texts of `kfkd.augment` mixes, the first is the control; None = "none" and
            the study's ten.
        seeds: how many, counted from 0, or which.
        split_seed: of the split that all trainings share.
        epochs: at the most; None = the entry's.
        subsets: as for `kfkd.train`.
        precision: as for `kfkd.train`.
        out: the comparison's folder.
        quiet: no progress.
        **settings: others of `kfkd.train`, such as `batch_size`.

    Returns:
        The comparison: print it, or take `.as_dict()`.

    Raises:
        UnknownName: when there is no such model or mix.
        KfkdError: when there is nothing to compare, a setting makes no sense, or `out` holds
            something else.
        RunError: when `out` holds runs of other settings or other data, or a loss diverged;
            `kfkd.errors.InUse` when another process is at work there.

    Example:
        >>> import kfkd
        >>> found = kfkd.compare("synthetic", mixes=["none", "standard"])  # doctest: +SKIP
        >>> found.verdict("dense")["better"]  # doctest: +SKIP
        ['standard']
    """
    settings |= {"epochs": epochs, "subsets": subsets, "precision": precision}
    out = Path(out).expanduser()
    plan = Plan(out, model, mix_texts(mixes), seed_numbers(seeds), split_seed, settings)
    _check(plan)
    one_op_at_a_time()
    faces = as_faces(data, quiet=quiet)
    with locked(plan.out):
        return _trained(plan, faces, plan.command(_named(data, faces)), quiet)


def _check(plan: Plan) -> None:
    """Refuses what makes no comparison, before anything is trained or written."""
    if wrong := [key for key in _OWN if key in plan.settings]:
        raise KfkdError(f"compare sets {', '.join(_OWN)} itself. Received: {', '.join(wrong)}")
    asked, share = plan.settings.get("validation"), entry(plan.model).recipe.validation
    if not (share if asked is None else asked):
        raise KfkdError("compare measures on held-out images. Received: validation=0")
    visible = plan.out.iterdir() if plan.out.is_dir() else []
    for path in visible:
        if (
            not path.name.startswith(".")
            and path.name not in FILES
            and not any(path.glob("seed-*"))
        ):
            raise KfkdError(f"{plan.out} holds something else, {path.name}; name another folder")


def _named(data: Any, faces: FaceSet) -> str | None:
    """How a command names the data; None for faces in memory."""
    if data is None:
        return faces.path or "synthetic"
    return str(data) if isinstance(data, str | Path) else None


def _trained(plan: Plan, faces: FaceSet, command: str, quiet: bool) -> Comparison:
    facts, trainings = _facts(plan, faces, command), plan.trainings()
    known = earlier_rows(plan.out / FILES[1], facts)
    rows: list[dict[str, Any]] = []
    say(f"{plan.model}: {len(plan.mixes)} mixes × {len(plan.seeds)} seeds → {plan.out}", quiet)
    for number, (seed, mix) in enumerate(trainings, 1):
        folder = plan.folder(seed, mix)
        row = None if folder.exists() else known.get((seed, mix_text(mix)))
        old = row is not None or _finished(folder)
        rows.append(row or _row(_run(plan, faces, seed, mix), mix, plan.out))
        if old and number < len(trainings):
            continue
        found = compared(facts, rows, packaged("augmentation_study.json")["mixes"])
        _save(found, plan.out)
        say(f"{number}/{len(trainings)} {_told(rows, [m for _, m in trainings[number:]])}", quiet)
    return found


def _run(plan: Plan, faces: FaceSet, seed: int, mix: str) -> Run:
    return train(
        plan.model,
        faces,
        augment=mix,
        copies=False,
        seed=seed,
        split_seed=plan.split_seed,
        out=plan.folder(seed, mix),
        quiet=True,
        **plan.settings,
    )


def _finished(folder: Path) -> bool:
    try:
        return load_run(folder).finished
    except RunError:
        return False


def _row(run: Run, mix: str, out: Path) -> dict[str, Any]:
    parts = run.record["subsets"]
    return {
        "mix": mix,
        "text": mix_text(mix),
        "seed": run.record["settings"]["seed"],
        "folder": run.folder.relative_to(out).as_posix(),
        "rmse": {metric: run.metrics["model"].get(metric) for metric in METRICS},
        "mean_face": {metric: run.metrics["mean_face"].get(metric) for metric in METRICS},
        "epochs": {subset: part["epochs"] for subset, part in parts.items()},
        "seconds": round(sum(part["seconds"] for part in parts.values()), 1),
        "machine": machine_words(run.record["machine"]),
    }


def _facts(plan: Plan, faces: FaceSet, command: str) -> dict[str, Any]:
    known = {k: v for k, v in plan.settings.items() if v is not None}
    fields = {k: known[k] for k in known if k in Recipe.__dataclass_fields__}
    recipe = changed_recipe(entry(plan.model), fields)
    train, held_out = grouped_split(faces, recipe.validation, plan.split_seed)
    subsets = known.get("subsets", entry(plan.model).subsets)
    return {
        "model": plan.model,
        "data": faces.origin,
        "rows": len(faces),
        "fingerprint": faces.fingerprint,
        "train": len(train),
        "validation": len(held_out),
        "split_seed": plan.split_seed,
        "subsets": [subsets] if isinstance(subsets, str) else list(subsets),
        **{key: getattr(recipe, key) for key in _RECIPE},
        "precision": plan.settings["precision"],
        "mixes": list(plan.mixes),
        "seeds": list(plan.seeds),
        "planned": len(plan.mixes) * len(plan.seeds),
        "versions": versions(),
        "command": command,
    }


def _save(found: Comparison, out: Path) -> None:
    table, results, picture = (out / name for name in FILES)
    write_text(table, found.table())
    write_json(results, found.as_dict())
    save_figure(comparison_picture(found), picture)


def _told(rows: Sequence[Mapping[str, Any]], left: Sequence[str]) -> str:
    """The last training in a line, and how long the rest may take."""
    last, times = rows[-1], {row["mix"]: row["seconds"] for row in rows}
    scores = [f"{name} {score:.3f}" for name, score in last["rmse"].items() if score is not None]
    line = f"{last['mix']}, seed {last['seed']}: {', '.join(scores)} px"
    line += f" in {duration(last['seconds'])}"
    usual = fmean(times.values())
    rest = sum(times.get(mix, usual) for mix in left)
    return f"{line}; about {duration(rest)} left" if left else line
