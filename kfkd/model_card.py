"""The card of a packed run: what it learned from, how good it is, where it fails."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfkd.errors import KfkdError, RunError
from kfkd.machine import machine_words
from kfkd.nme import EYES
from kfkd.progress import duration

if TYPE_CHECKING:
    from kfkd.runs import Run

_SHOWN = ("kaggle_rmse", "full", "four_point", "dense", "sparse", "all", "median error")


def model_card(run: Run, name: str, size: int, moved: float) -> str:
    """The card as Markdown, every figure out of the run's own record.

    Args:
        run: a finished run.
        name: what the card calls it.
        size: of its packed copy, in bytes.
        moved: how far the copy's keypoints lie from the run's at most, in pixels.
    """
    parts = [
        f"# {name}",
        _about(run, size, moved),
        "## Data\n\n" + _data(run.record),
        "## Scores\n\n" + _scores(run.metrics),
        "## Where it fails\n\n" + _failures(run.metrics),
        "## How it was made\n\n" + _made(run),
    ]
    return "\n\n".join(parts) + "\n"


def _about(run: Run, size: int, moved: float) -> str:
    height, width, channels = run.frame or (0, 0, 0)
    params = sum(part.get("params", 0) for part in run.record["subsets"].values())
    told = (
        f"Entry `{run.name}` of the zoo: {len(run.skeleton)} keypoints ({run.skeleton.name}) of "
        f"{width}×{height} faces with {channels} channel{'s' * (channels != 1)}; {params:,} "
        f"parameters, {size / 1e6:.1f} MB in float16, which moves a keypoint by at most "
        f"{moved:.3f} px."
    )
    if any(run.by_source(subset) for subset in run.subsets):
        told += (
            " It answers as either of Kaggle's two label sources: as the four-point one where its "
            "convention is asked for, else as the full one."
        )
    return told


def _data(record: Mapping[str, Any]) -> str:
    data, split = record["data"], record["split"]
    told = f"{data.get('rows', '?')} labelled images of the data set `{data['origin']}`"
    if sources := data.get("sources"):
        told += f" ({', '.join(f'{count} {source}' for source, count in sources.items())})"
    told += _held_out(split, record.get("measured_by"), bool(_learned_before(record)))
    return told + terms_told(record)


def terms_told(record: Mapping[str, Any]) -> str:
    """What a run's beginnings learned, and the terms of all that data; each sentence after a space.

    Args:
        record: of a packed run.
    """
    told, origin, others = "", record["data"]["origin"], _learned_before(record)
    if others:
        names = ", ".join(f"`{name}`" for name in others)
        told += f" Runs that it began with, or was taught by, learned {names}."
    known = {name: terms for name in (origin, *others) if (terms := _terms(name))}
    if {*known} - {origin}:
        every = "; ".join(f"{name}: {terms}" for name, terms in known.items())
        told += (
            f" Terms of the data: {every}. The weights are for the uses that all of these allow."
        )
    elif terms := "".join(known.values()):
        told += f" Terms of the data: {terms}. The weights are for the uses that these allow."
    return told


def _learned_before(record: Mapping[str, Any]) -> list[str]:
    """Other data sets that the runs learned which it began with, or was taught by."""
    before = {one["data"] for one in record.get("lineage", ()) if "data" in one}
    return sorted(before - {record["data"]["origin"]})


def _held_out(split: Mapping[str, Any], twin: Mapping[str, Any] | None, begun: bool) -> str:
    told = f"; {split['train']} to learn from"
    if twin:
        kind = "the same training"
        if "epochs" in twin:
            kind = (
                f"a shorter training of the same settings ({twin['epochs']} epochs"
                f"{'' if begun else ' from random weights'}, where these weights saw "
                f"{twin['of_epochs']})"
            )
        told += (
            f". The scores below are those of {kind} on {twin['train']} of them, measured on the "
            f"other {twin['validation']}"
        )
    else:
        told += f", {split['validation']} held out"
    seed = (twin or split)["seed"]
    return f"{told}, whole groups of identical images at a time, split seed {seed}."


def _terms(origin: str) -> str | None:
    from kfkd.datasets import list_data

    known = {row["name"]: row["terms"] for row in list_data()}
    return known.get(origin)


def _scores(metrics: Mapping[str, Any]) -> str:
    where = "held-out" if metrics.get("on") == "validation" else "training"
    rows = [f"RMSE in pixels on the {metrics['images']} {where} images.", ""]
    rows += ["| | model | mean face | mean face per source |", "|---|---|---|---|"]
    columns = [metrics[key] for key in ("model", "mean_face", "mean_per_source")]
    for key in _SHOWN:
        if columns[0].get(key) is not None:
            rows.append(f"| {key} | " + " | ".join(_number(c.get(key)) for c in columns) + " |")
    return "\n".join([*rows, *_landmarks(metrics.get("landmarks"))])


def _landmarks(landmarks: Mapping[str, Any] | None) -> list[str]:
    """The 68-point field's scores, of runs on photos."""
    scores: Mapping[str, Any] = (landmarks or {}).get("scores", {})
    if None in (scores.get("nme") or [None]):
        return []
    nme, auc, failed = (scores[key] for key in ("nme", "auc", "failure_rate"))
    told = (
        f"NME {100 * nme[0]:.2f} % of {(landmarks or {}).get('length', EYES)} (mean face "
        f"{100 * nme[1]:.2f} %), AUC@0.08 {auc[0]:.3f} ({auc[1]:.3f}), failures "
        f"{100 * failed[0]:.1f} % ({100 * failed[1]:.1f} %)."
    )
    return ["", told]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _failures(metrics: Mapping[str, Any]) -> str:
    points = {k: v for k, v in metrics["keypoints"].items() if v[0] is not None}
    worst = sorted(points, key=lambda name: -points[name][0])[:4]
    named = ", ".join(f"{name} {points[name][0]:.2f} px" for name in worst)
    rows = metrics["worst"][:5]
    share = sum(row[2] for row in rows)
    told = ", ".join(f"{row[0]} ({row[1]:.1f} px)" for row in rows)
    return (
        f"Worst keypoints: {named}. The {len(rows)} worst held-out images hold {share:.0%} of the "
        f"squared error: rows {told}, as the file that it learned from counts them."
    )


def _made(run: Run) -> str:
    record = run.record
    seconds = sum(part.get("seconds", 0) for part in record["subsets"].values())
    told = ", ".join(f"{key} {value}" for key, value in record["versions"].items() if value)
    before = [60 * stage["minutes"] for stage in record.get("lineage", ())]
    whole = f", {duration(seconds + sum(before))} with what it was built upon" if before else ""
    return (
        f"{_commands(run)}\n\n{duration(seconds)} of training on "
        f"{machine_words(record['machine'])}{whole}; {told}."
    )


def _commands(run: Run) -> str:
    """The run's command, those that it builds upon before it."""
    before = [one["command"] for one in run.record.get("lineage", ())]
    if not before:
        return f"`{_command(run)}`"
    return "\n".join(f"{i}. `{line}`" for i, line in enumerate([*before, _command(run)], 1))


def _command(run: Run) -> str:
    from kfkd.recording import training_command

    try:
        return training_command(run)
    except (KfkdError, RunError):
        settings = run.record["settings"]
        return shlex.join(["kfkd", "train", run.name, "--seed", str(settings["seed"]), "…"])
