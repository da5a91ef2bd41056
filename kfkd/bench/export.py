"""How fast a run's exported models answer faces, beside Keras."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kfkd.data import built_in_images
from kfkd.errors import KfkdError, WriteError
from kfkd.exporting import export
from kfkd.exports.formats import FORMATS, Format, export_format
from kfkd.exports.graph import looking_once, run_in_float32
from kfkd.float32 import answers_mixed
from kfkd.learning.determinism import one_thread
from kfkd.machine import machine
from kfkd.pipelines.exported_models import Predictor
from kfkd.progress import say
from kfkd.runs import Run, finished_run
from kfkd.storage.files import bytes_in
from kfkd.text import table

_WARM = 10


def bench_export(
    run: Run | str | Path,
    formats: Sequence[str] | None = None,
    *,
    views: bool = True,
    faces: int = 1,
    rounds: int = 7,
    calls: int = 30,
    quiet: bool = False,
) -> dict[str, Any]:
    """Times faces on one core: `run.predict`, and each exported model in its runtime.

    All do the same: pre-processing, every model and view of the run, and decoding, without second
    looks. They take turns, and the ratio is the median of paired ratios of processor times, which a
    busy machine hardly spoils: with one thread they are the clock's, where nothing else runs.

    Args:
        run: a finished run or its folder.
        formats: of `kfkd.export`; None = all that can be made here.
        views: whether test-time views count.
        faces: how many are answered in one call.
        rounds: how often they take turns.
        calls: calls of a turn.
        quiet: no progress.

    Returns:
        "model", "views", "faces", "threads", "cpu", "keras_precision", and "rows": by way, "keras"
        first, "ms" of a face, "processor_ms", "times_faster" than Keras, and "megabytes"; and by
        format "lacking", how to install what it wants, and "refused", why it is not exported to it.

    Raises:
        KfkdError: when a number makes no sense, TensorFlow is at work already on all cores, or a
            format in `formats` cannot be made here.
        RunError: when the run is unfinished.
    """
    if min(faces, rounds, calls) < 1:
        received = f"{faces}, {rounds}, {calls}"
        raise KfkdError(f"faces, rounds and calls want to be 1 at least. Received: {received}")
    if not one_thread():
        raise KfkdError("TensorFlow is at work on all cores; measure in a fresh Python process")
    run = looking_once(finished_run(run))
    lacking = {name: made.lacking for name, made in FORMATS.items() if made.lacking}
    chosen = [name for name in FORMATS if name not in lacking] if formats is None else formats
    made = {name: export_format(name) for name in chosen}
    kept = run if views else run_in_float32(run, views=False)
    with TemporaryDirectory(prefix="kfkd-bench-") as folder:
        paths, refused = _exported(run, made, Path(folder), views, quiet)
        ways: dict[str, Predictor] = {"keras": kept.predict}
        ways |= {name: made[name].predictor(path, 1) for name, path in paths.items()}
        sizes = {name: round(bytes_in(path) / 1e6, 2) for name, path in paths.items()}
        images = built_in_images(faces, kept.model(kept.subsets[0]).input_shape[1:])
        times = _turns(ways, images, rounds, calls, quiet)
    return {
        "model": run.name,
        "views": max(len(kept.views(subset)) for subset in kept.subsets),
        "faces": faces,
        "threads": 1,
        "cpu": machine()["cpu"],
        "keras_precision": run.record["settings"].get("precision")
        if answers_mixed(kept)
        else "float32",
        "rows": _rows(times, sizes),
        "lacking": {} if formats else lacking,
        "refused": refused,
    }


def _exported(
    run: Run, made: Mapping[str, Format], folder: Path, views: bool, quiet: bool
) -> tuple[dict[str, Path], dict[str, str]]:
    """By format the written model, or why there is none."""
    paths: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for name, form in made.items():
        try:
            path = folder / f"model{form.suffix}"
            paths[name] = export(run, name, path, views=views, quiet=quiet)
        except WriteError:  # the disk's fault
            raise
        except KfkdError as error:
            refused[name] = str(error)
    return paths, refused


def _turns(
    ways: Mapping[str, Predictor], images: np.ndarray, rounds: int, calls: int, quiet: bool
) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of a face in each round, medians of its calls: of the clock, the processor."""
    for predict in ways.values():
        for _ in range(_WARM):
            predict(images)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, predict in ways.items():
            both = np.median([_call(predict, images) for _ in range(calls)], axis=0)
            times[name].append((float(both[0]), float(both[1])))
        told = ", ".join(f"{name} {taken[-1][0]:.2f} ms" for name, taken in times.items())
        say(f"round {number}: {told}", quiet)
    return times


def _call(predict: Predictor, images: np.ndarray) -> tuple[float, float]:
    """Milliseconds a face."""
    clock, processor = time.perf_counter(), time.process_time()
    predict(images)
    share = 1000 / len(images)
    return share * (time.perf_counter() - clock), share * (time.process_time() - processor)


def _rows(
    times: Mapping[str, list[tuple[float, float]]], sizes: Mapping[str, float]
) -> dict[str, Any]:
    def faster(name: str) -> float:
        pairs = zip(times["keras"], times[name], strict=True)
        return round(median(keras[1] / own[1] for keras, own in pairs), 2)

    return {
        name: {
            "ms": round(median(clock for clock, _ in taken), 3),
            "processor_ms": round(median(processor for _, processor in taken), 3),
            "times_faster": faster(name),
            "megabytes": sizes.get(name),
        }
        for name, taken in times.items()
    }


def bench_export_table(figures: Mapping[str, Any]) -> str:
    """What `bench_export` found as text."""
    header = ("way", "ms a face", "processor ms", "times faster than Keras", "MB")
    keys = ("ms", "processor_ms", "times_faster")
    rows = [
        (name, *(f"{row[key]:.2f}" for key in keys), row["megabytes"] or "—")
        for name, row in figures["rows"].items()
    ]
    views = figures["views"]
    faces = f"{figures['faces']} faces at a time, " if figures["faces"] > 1 else ""
    told = f"{figures['model']} looking once, {faces}{views} view{'s' * (views > 1)} of a face, "
    told += f"one core of {figures['cpu']}; Keras computes in {figures['keras_precision']}"
    lacking = [f"{name} lacks: {command}" for name, command in figures["lacking"].items()]
    refused = [f"{name} is left out: {reason}" for name, reason in figures["refused"].items()]
    return "\n".join([told, table(header, rows), *lacking, *refused])
