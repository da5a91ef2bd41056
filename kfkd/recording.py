"""Measured figures of the zoo: taken from finished runs by a command, never typed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, RunError
from kfkd.learning.fine_tuning import fine_tuning_flags
from kfkd.learning.key_values import key_value_words
from kfkd.learning.settings import published_recipe, shown_runs, whole_recipe
from kfkd.machine import machine_words
from kfkd.pipelines.photo_sources import KINDS, names_told
from kfkd.pipelines.source_text import photo_source
from kfkd.registry import entry
from kfkd.run_records import Facts
from kfkd.runs import Run, finished_run
from kfkd.searches.spaces import builder_options
from kfkd.storage.files import read_json, write_json, write_text
from kfkd.text import shown_path

_ALWAYS = ("epochs", "batch_size", "learning_rate", "validation")
_WHERE_OTHER = ("loss", "early_stopping")


def training_command(run: Run) -> str:
    """The command that repeats a run.

    Args:
        run: a run of a zoo entry.

    Raises:
        UnknownName: when the zoo has no such model.
        RunError: when the run has a setting that `kfkd train` has no flag for.
    """
    settings = run.record["settings"]
    recipe, options = Facts(whole_recipe(settings["recipe"])), dict(settings["options"])
    published = published_recipe(entry(run.name))
    other = [k for k, value in published.items() if recipe.get(k, value) != value]
    told = {key: recipe[key] for key in _ALWAYS}
    told |= {key: recipe[key] for key in _WHERE_OTHER if key in other and recipe[key] is not None}
    if "augment" in other:
        told["augment"] = recipe["augment"] or "none"
    if settings.get("split_seed") is not None:
        told["split_seed"] = settings["split_seed"]
    for key in ("fold", "suspects", "teacher_share"):
        told |= {key: settings[key]} if settings.get(key) else {}
    told |= shown_runs(settings)
    if "phases" in other:
        told |= fine_tuning_flags(recipe)
    if isinstance(options.get("weights"), str):
        told["weights"] = shown_path(options.pop("weights"))
    known = (*told, "copies", *(["phases"] if "fine_tune" in told else []))
    rest = {key: recipe[key] for key in other if key not in known} | options
    settable = {*builder_options(entry(run.name)), *published} - {"phases", "weights"}
    untold = [key for key in rest if key not in settable]
    if settings["augment"]:
        untold.append(f"augment={settings['augment']}")
    if untold:
        raise RunError(
            f"{run.folder} differs from the zoo's {run.name} in what kfkd train has no flag for: "
            f"{', '.join(untold)}"
        )
    words = ["kfkd", "train", run.name, "--data", _data_word(run), "--seed", str(settings["seed"])]
    words += ["--subsets", *settings["subsets"], "--precision", settings["precision"]]
    for key, value in told.items():
        words += [f"--{key.replace('_', '-')}"]
        words += map(str, value if isinstance(value, list) else [value])
    if recipe["copies"] != (published["copies"] and "augment" not in other):
        words.append("--copies" if recipe["copies"] else "--no-copies")
    if settings["drop_incomplete"]:
        words.append("--drop-incomplete")
    changed = key_value_words(rest) + key_value_words(settings.get("codec") or {}, "codec.")
    return shlex.join([*words, *(["--set", *changed] if changed else [])])


def _data_word(run: Run) -> str:
    """What stands for the run's data in a command: DATA, or NAME:DATA with unusual crops."""
    data = run.record["data"]
    named = photo_source(data["path"] or "")
    if named is None and data["origin"] not in KINDS:
        return "DATA"
    if named is None:  # a packed run keeps no path
        height, width, channels = data["image"]
        named = data["origin"], "", {"size": (height, width), "channels": channels}
    name, _, options = named
    height, width, channels = entry(run.name).input_shape
    usual = {"size": (height, width), "channels": channels, "margin": KINDS[name].margin}
    other = {key: value for key, value in options.items() if usual.get(key) != value}
    if "size" in other:
        other["size"] = "x".join(map(str, other["size"]))
    if "lazy" in other:
        other["lazy"] = str(other["lazy"]).lower()
    if "normalise" in other:
        other["normalise"] = names_told(other["normalise"])
    asked = "&".join(f"{key}={value}" for key, value in other.items())
    return f"{name}:DATA" + (f"?{asked}" if asked else "")


def lineage(run: Run) -> list[dict[str, Any]]:
    """What was trained before a run that began with other runs or was taught by some.

    Args:
        run: whose `start` and `teachers` are still where they were, or a packed one.

    Returns:
        For each of them the command, the data set's name, epochs and minutes, the oldest first; the
        commands have the names that the next ones call their runs by.

    Raises:
        RunError: when one of them is not there, is unfinished, or cannot be repeated by a command.
    """
    if "lineage" in run.record:
        return list(run.record["lineage"])
    settings, stages = run.record["settings"], dict[str, dict[str, Any]]()
    for path in filter(None, (settings.get("start"), *(settings.get("teachers") or ()))):
        other = finished_run(path)
        command = f"{training_command(other)} --out {other.folder.name}"
        stages |= {one["command"]: one for one in lineage(other)}
        data = other.record["data"]["origin"]
        stages[command] = {"command": command, "data": data, **_cost(other)}
    return list(stages.values())


def measured(run: Run) -> dict[str, Any]:
    """What stands in the zoo's table of a finished run on real data.

    Args:
        run: a finished run of all keypoints.

    Returns:
        Validation RMSEs in pixels beside the mean face, cost, machine and command.

    Raises:
        UnknownName: when its model is not in the zoo.
        RunError: when the run is unfinished, was trained on built-in faces, lacks keypoints, or
            cannot be repeated by a command.
    """
    run = finished_run(run)
    entry(run.name)
    if run.record["data"]["origin"] == "synthetic":
        raise RunError(f"{run.folder} was trained on built-in faces; the zoo lists real data only")
    scores, parts = run.metrics["model"], run.record["subsets"]
    if scores["kaggle_rmse"] is None:
        raise RunError(f"{run.folder} does not predict every keypoint")
    record = run.record
    before = lineage(run)
    return {
        "model": run.name,
        "augment": mix_name(run),
        **{key: scores[key] for key in ("kaggle_rmse", "dense", "sparse", "full", "four_point")},
        "mean_face": run.metrics["mean_face"]["kaggle_rmse"],
        "mean_face_per_source": run.metrics["mean_per_source"]["kaggle_rmse"],
        "validation_images": record["split"]["validation"],
        "on": f"{record['split']['validation']} held-out images of {record['data']['rows']}",
        **_cost(run),
        "images_per_second": {name: part["images_per_second"] for name, part in parts.items()},
        "seed": record["settings"]["seed"],
        "machine": machine_words(record["machine"]),
        "command": training_command(run),
        **({"before": before} if before else {}),
    }


def _cost(run: Run) -> dict[str, Any]:
    parts = run.record["subsets"]
    return {
        "epochs": {name: part["epochs"] for name, part in parts.items()},
        "minutes": round(sum(part["seconds"] for part in parts.values()) / 60, 1),
    }


def mix_name(run: Run) -> str:
    """The mix that a run was trained with, as the tables call it."""
    recipe = run.record["settings"]["recipe"]
    name = recipe["augment"] or "none"
    name += ", fixed copies" if recipe["augment"] and recipe["copies"] else ""
    published = published_recipe(entry(run.name))["phases"]
    tuned = recipe.get("phases", published) != published
    return name + (", fine-tuned" if tuned else "")


def record_runs(runs: Sequence[Run | str | Path], table: str | Path) -> dict[str, Any]:
    """Adds runs to the zoo's table of measured figures.

    Args:
        runs: finished runs; a later one replaces an earlier one of the same entry and mix.
        table: the JSON file, `models/results.json` of the source tree.

    Returns:
        The whole table.

    Raises:
        UnknownName: as `measured`; nothing is written then.
        RunError: likewise.
    """
    table = Path(table)
    results = read_json(table) if table.is_file() else {}
    for run in map(finished_run, runs):
        row = measured(run)
        results[f"{row['model']}, {row['augment']}"] = row
    write_json(table, dict(sorted(results.items())))
    return results


def results_table(results: Mapping[str, Any]) -> str:
    """The measured figures as a Markdown table, best first.

    Args:
        results: what `record_runs` returns.
    """
    lines = [
        "| model | mix | kaggle_rmse | mean face (per source) | dense | sparse | full | four-point "
        "| held out | epochs | minutes | images/s | published private / public |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    ranked = sorted(results.items(), key=lambda item: item[1]["kaggle_rmse"])
    commands: list[str] = []
    for _, row in ranked:
        published = entry(row["model"]).published
        cells = [
            f"`{row['model']}`",
            row["augment"],
            f"**{row['kaggle_rmse']:.3f}**",
            f"{row['mean_face']:.3f} ({row['mean_face_per_source']:.3f})",
            *(f"{row[key]:.3f}" for key in ("dense", "sparse", "full", "four_point")),
            str(row["validation_images"]),
            " → ".join(" + ".join(map(str, one["epochs"].values())) for one in _stages(row)),
            f"{sum(one['minutes'] for one in _stages(row)):.4g}",
            " / ".join(f"{rate:.0f}" for rate in row["images_per_second"].values()),
            f"{published['private']:.3f} / {published['public']:.3f}"
            if "private" in published
            else "—",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for _, row in ranked:
        told = ", then ".join(f"`{one['command']}`" for one in _stages(row))
        commands.append(f"- {told} ({row['machine']})")
    return "\n".join([*lines, "", *commands])


def _stages(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was trained, one after the other: the runs that the row's began with, then its own."""
    return [*row.get("before", ()), row]


def write_block(path: str | Path, text: str, name: str = "measured") -> None:
    """Puts `text` between the markers <!-- NAME --> and <!-- /NAME --> of a file.

    Raises:
        KfkdError: when the file has no such markers.
    """
    whole, (begin, end) = Path(path).read_text(encoding="utf-8"), block(name)
    if any(mark not in whole for mark in (begin, end)):
        raise KfkdError(f"{path} wants the markers {begin} and {end}")
    before, _, rest = whole.partition(begin)
    after = rest.partition(end)[2]
    write_text(path, f"{before}{begin}\n{text}\n{end}{after}")


def block(name: str) -> tuple[str, str]:
    """The markers around a table that a command keeps."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"
