"""How fast a run's exported models answer one face, beside Keras."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kfkd.data import built_in_images
from kfkd.determinism import one_thread
from kfkd.errors import KfkdError
from kfkd.export_formats import FORMATS, export_format
from kfkd.exported_graph import is_mixed, run_in_float32
from kfkd.exporting import export, size_of
from kfkd.machine import machine
from kfkd.pipelines.exported_models import Predictor
from kfkd.progress import say
from kfkd.runs import Run, finished_run
from kfkd.text import table

_WARM = 10


def bench_export(
    run: Run | str | Path,
    formats: Sequence[str] | None = None,
    *,
    views: bool = True,
    rounds: int = 7,
    calls: int = 30,
    quiet: bool = False,
) -> dict[str, Any]:
    """Times one face at a time on one core: `run.predict`, and each exported model in its runtime.

    All do the same: pre-processing, every model and view of the run, and decoding. They take turns
    and medians of paired ratios count, so that a busy machine spoils little.

    Args:
        run: a finished run or its folder.
        formats: of `kfkd.export`; None = all that can be made here.
        views: whether test-time views count.
        rounds: how often they take turns.
        calls: faces of a turn.
        quiet: no progress.

    Returns:
        "model", "views", "threads", "cpu", "keras_precision", and "rows": by way, "keras" first,
        "ms" of a face, "times_faster" than Keras, and "megabytes"; and "lacking", by format, how to
        install what it wants.

    Raises:
        KfkdError: when a number makes no sense, or TensorFlow is at work already on all cores.
        RunError: when the run is unfinished or cannot be exported.
    """
    if min(rounds, calls) < 1:
        raise KfkdError(f"rounds and calls want to be 1 at least. Received: {rounds}, {calls}")
    if not one_thread():
        raise KfkdError("TensorFlow is at work on all cores; measure in a fresh Python process")
    run = finished_run(run)
    lacking = {name: made.lacking for name, made in FORMATS.items() if made.lacking}
    chosen = [name for name in FORMATS if name not in lacking] if formats is None else formats
    kept = run if views else run_in_float32(run, views=False)
    with TemporaryDirectory(prefix="kfkd-bench-") as folder:
        paths = {name: _exported(run, name, Path(folder), views, quiet) for name in chosen}
        ways: dict[str, Predictor] = {"keras": kept.predict}
        ways |= {name: export_format(name).predictor(path, 1) for name, path in paths.items()}
        sizes = {name: round(size_of(path) / 1e6, 2) for name, path in paths.items()}
        image = built_in_images(1, kept.model(kept.subsets[0]).input_shape[1:])
        times = _turns(ways, image, rounds, calls, quiet)
    mixed = any(is_mixed(kept.model(subset)) for subset in kept.subsets)
    return {
        "model": run.name,
        "views": max(len(kept.views(subset)) for subset in kept.subsets),
        "threads": 1,
        "cpu": machine()["cpu"],
        "keras_precision": run.record["settings"].get("precision") if mixed else "float32",
        "rows": _rows(times, sizes),
        "lacking": {} if formats else lacking,
    }


def _exported(run: Run, name: str, folder: Path, views: bool, quiet: bool) -> Path:
    path = folder / f"model{FORMATS[name].suffix}"
    return export(run, name, path, views=views, quiet=quiet)


def _turns(
    ways: Mapping[str, Predictor], image: np.ndarray, rounds: int, calls: int, quiet: bool
) -> dict[str, list[float]]:
    """Seconds of a face in each round, the median of its calls."""
    for predict in ways.values():
        for _ in range(_WARM):
            predict(image)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, predict in ways.items():
            times[name].append(median(_seconds(predict, image) for _ in range(calls)))
        told = ", ".join(f"{name} {1000 * taken[-1]:.2f} ms" for name, taken in times.items())
        say(f"round {number}: {told}", quiet)
    return times


def _seconds(predict: Predictor, image: np.ndarray) -> float:
    began = time.perf_counter()
    predict(image)
    return time.perf_counter() - began


def _rows(times: Mapping[str, list[float]], sizes: Mapping[str, float]) -> dict[str, Any]:
    def faster(name: str) -> float:
        pairs = zip(times["keras"], times[name], strict=True)
        return round(median(keras / own for keras, own in pairs), 2)

    return {
        name: {
            "ms": round(1000 * median(taken), 3),
            "times_faster": faster(name),
            "megabytes": sizes.get(name),
        }
        for name, taken in times.items()
    }


def bench_export_table(figures: Mapping[str, Any]) -> str:
    """What `bench_export` found as text."""
    header = ("way", "ms a face", "times faster than Keras", "MB")
    rows = [
        (name, f"{row['ms']:.2f}", f"{row['times_faster']:.2f}", row["megabytes"] or "—")
        for name, row in figures["rows"].items()
    ]
    views = figures["views"]
    told = f"{figures['model']}, {views} view{'s' * (views > 1)} of a face, one core of "
    told += f"{figures['cpu']}; Keras computes in {figures['keras_precision']}"
    lacking = [f"{name} lacks: {command}" for name, command in figures["lacking"].items()]
    return "\n".join([told, table(header, rows), *lacking])
