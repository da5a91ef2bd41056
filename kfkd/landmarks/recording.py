"""Measured figures of the nets on photos: taken from finished runs by a command, never typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.errors import RunError
from kfkd.evaluation import own_data, validation_faces
from kfkd.ladders.changes import changes_of
from kfkd.machine import machine_words
from kfkd.recording import mix_name, training_command
from kfkd.runs import Run, finished_run
from kfkd.scoring import score_faces
from kfkd.skeletons import KAGGLE_15
from kfkd.storage.files import read_json, write_json

OURS = "pyramid"
"""The entry that stands beside the best of the published ones."""

_SCORES = ("nme", "nme_box", "auc", "failure_rate", "pixel_mae", "mse_sides")


def measured_landmarks(run: Run, quiet: bool = False) -> dict[str, Any]:
    """What stands in the table of a finished run on photos; its held-out images are predicted anew.

    Args:
        run: a finished run on IMM, iBUG or YouTube faces, or another set of photos.
        quiet: no progress.

    Returns:
        Scores as (model, mean face), cost, machine and command.

    Raises:
        UnknownName: when its model is not in the zoo.
        RunError: when it is of Kaggle's points, or cannot be repeated by a command.
        DataError: when its data is not where it was.
    """
    run = finished_run(run)
    if run.skeleton.points == KAGGLE_15.points:
        raise RunError(f"{run.folder} predicts Kaggle's points; their table is another")
    record, part = run.record, next(iter(run.record["subsets"].values()))
    faces = validation_faces(run, as_faces(own_data(run), quiet=quiet, frame=run.frame))
    predicted = run.predict(faces.images, source=faces.source)
    scores = score_faces(faces, predicted, record["mean_face"]).landmarks
    assert scores is not None  # of other points than Kaggle's
    return {
        "model": run.name,
        "data": record["data"]["origin"],
        "points": sum(len(run.points(subset)) for subset in run.subsets),
        "augment": mix_name(run),
        "changed": ", ".join(changes_of(run) or ()),
        **{key: list(scores.scores[key]) for key in _SCORES},
        "regions": {part: list(pair) for part, pair in scores.regions.items()},
        "validation_images": len(faces),
        "validation_groups": len(np.unique(faces.group)),
        "epochs": part["epochs"],
        "minutes": round(part["seconds"] / 60, 1),
        "images_per_second": part["images_per_second"],
        "seed": record["settings"]["seed"],
        "machine": machine_words(record["machine"]),
        "command": training_command(run),
    }


def record_landmarks(
    runs: Sequence[Run | str | Path], table: str | Path, quiet: bool = False
) -> dict[str, Any]:
    """Adds runs to the table of measured figures of the nets on photos.

    Args:
        runs: finished runs; a later one replaces an earlier one that differs in nothing but its
            seed.
        table: the JSON file, `models/landmark_results.json` of the source tree.
        quiet: no progress.

    Returns:
        The whole table.

    Raises:
        UnknownName: as `measured_landmarks`; nothing is written then.
        RunError: likewise.
        DataError: likewise.
    """
    table = Path(table)
    results = read_json(table) if table.is_file() else {}
    for run in map(finished_run, runs):
        row = measured_landmarks(run, quiet)
        results[", ".join(filter(None, (row["data"], row["model"], row["changed"])))] = row
    write_json(table, dict(sorted(results.items())))
    return results


def landmark_table(results: Mapping[str, Any]) -> str:
    """The measured figures as a Markdown table, best first within a data set, and the commands.

    Args:
        results: what `record_landmarks` returns.
    """
    header = (
        "| data | model | points | changed | NME % | AUC@0.08 | failures % | pixel MAE | MSE of "
        "the sides | held out | epochs | minutes |"
    )
    rows = [_cells(row) for row in _ranked(results)]
    commands = [f"- `{row['command']}` ({row['machine']})" for row in _ranked(results)]
    return "\n".join([*_lines(header, rows), "", *commands])


def best_landmarks(results: Mapping[str, Any]) -> str:
    """The same in short: of each data set and number of points the best, and the best of others."""
    chosen, seen = [], set()
    for row in _ranked(results):
        kind = (row["data"], row["points"], row["model"] == OURS)
        if kind not in seen:
            seen.add(kind)
            data, model, points, _, nme, auc, failures, *_, held, epochs, minutes = _cells(row)
            chosen.append([data, points, model, nme, auc, failures, held, epochs, minutes])
    header = (
        "| data | points | model | NME % | AUC@0.08 | failures % | held out | epochs | minutes |"
    )
    return "\n".join(_lines(header, chosen))


def _ranked(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    return sorted(results.values(), key=lambda r: (r["data"], r["points"], r["nme"][0]))


def _lines(header: str, rows: Sequence[Sequence[str]]) -> list[str]:
    rule = "|" + "---|" * (header.count("|") - 1)
    return [header, rule, *("| " + " | ".join(row) + " |" for row in rows)]


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["data"],
        f"`{row['model']}`",
        str(row["points"]),
        row["changed"] or "—",
        f"**{100 * row['nme'][0]:.2f}** ({100 * row['nme'][1]:.2f})",
        _both(row["auc"], 1, 3),
        _both(row["failure_rate"], 100, 1),
        _both(row["pixel_mae"], 1, 2),
        _both(row["mse_sides"], 1, 6),
        _held_out(row),
        str(row["epochs"]),
        f"{row['minutes']:g}",
    ]


def _both(pair: Sequence[float], times: int, digits: int) -> str:
    return f"{times * pair[0]:.{digits}f} ({times * pair[1]:.{digits}f})"


def _held_out(row: Mapping[str, Any]) -> str:
    images, groups = row["validation_images"], row["validation_groups"]
    return str(images) if images == groups else f"{images} of {groups} persons"
