"""What each command does with its options: call the verb, print the answer."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import Namespace
from typing import Any

from kfkd.determinism import find_devices
from kfkd.registry import entry


def _print(value: Any, as_json: bool, text: str) -> None:
    print(json.dumps(value, indent=2) if as_json else text)


def _figures(value: dict[str, Any]) -> str:
    width = max(map(len, value))
    return "\n".join(f"{key.ljust(width)}  {v}" for key, v in value.items())


def models(options: Namespace) -> None:
    """Lists the zoo, or recomputes its costs."""
    from kfkd.catalogue import list_models, models_table

    if options.measure_costs:
        from kfkd.files import write_json
        from kfkd.models.costs import measure_costs

        write_json(options.measure_costs, measure_costs())
        return
    rows = list_models(options.family)
    _print(rows, options.json, models_table(rows) + "\n\n" + _LEGEND)


_LEGEND = """params, GFLOPs: of the published subsets; two per multiply-add, one image
published: Kaggle private / public RMSE in px, where submitted; the mean face scores 3.87
measured: our kaggle_rmse in px on held-out real images; see kfkd describe MODEL"""


def describe(options: Namespace) -> None:
    """Describes a model."""
    entry(options.name)
    _calm_tensorflow()
    from kfkd.catalogue import describe as verb

    found = verb(options.name)
    _print(found.as_dict(), options.json, str(found))


def train(options: Namespace) -> None:
    """Trains a model."""
    entry(options.name)
    _calm_tensorflow()
    from kfkd.training import train as verb

    given = vars(options)
    settings = {key: given[key] for key in _TRAINING}
    recipe = {k: given[k] for k in ("early_stopping", "loss") if given[k] is not None}
    builder = {"weights": options.weights} if options.weights else None
    run = verb(
        options.name,
        options.data,
        options=builder,
        **settings,
        **recipe,
    )
    _print_run(run)


_TRAINING = (
    "subsets",
    "epochs",
    "batch_size",
    "learning_rate",
    "validation",
    "seed",
    "precision",
    "augment",
    "copies",
    "split_seed",
    "drop_incomplete",
    "out",
    "quiet",
)


def resume(options: Namespace) -> None:
    """Goes on with a run."""
    _calm_tensorflow()
    from kfkd.training import resume as verb

    _print_run(verb(options.folder, options.data, options.quiet))


def compare(options: Namespace) -> None:
    """Compares augmentation mixes."""
    entry(options.model)
    _calm_tensorflow()
    # Every training has a model of its own; TensorFlow takes them for one that is traced anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from kfkd.comparing import compare as verb

    given = vars(options)
    passed = ("model", "mixes", "seeds", "epochs", "subsets", "precision", "out", "quiet")
    found = verb(options.data, **{key: given[key] for key in passed})
    _print(found.as_dict(), options.json, found.table().rstrip())


def _print_run(run: Any) -> None:
    rows = [
        f"{name}: {score:.3f} px (mean face {run.metrics['mean_face'][name]:.2f})"
        for name, score in run.metrics["model"].items()
        if score is not None
    ]
    print("\n".join([str(run.folder), *rows]))


def evaluate(options: Namespace) -> None:
    """Scores a run."""
    _calm_tensorflow()
    from kfkd.evaluation import evaluate as verb

    part = "all" if options.all else "validation"
    scores = verb(options.folder, options.data, part=part, quiet=options.quiet)
    _print(scores.as_dict(), options.json, scores.table())


def predict(options: Namespace) -> None:
    """Writes keypoints."""
    _calm_tensorflow()
    from kfkd.data import as_faces
    from kfkd.prediction import write_predictions
    from kfkd.runs import finished_run

    run = finished_run(options.folder)
    faces = as_faces(options.data, options.part, options.quiet)
    print(write_predictions(options.out, faces, run.predict(faces.images)))


def submit(options: Namespace) -> None:
    """Writes a submission."""
    _calm_tensorflow()
    from kfkd.submitting import submit as verb

    given = vars(options)
    passed = ("ensemble", "weights", "out", "clip", "force", "quiet")
    print(verb(options.runs, options.data, **{key: given[key] for key in passed}))


def score(options: Namespace) -> None:
    """Scores a submission."""
    from kfkd.submissions.scorer import score as verb

    result = verb(options.submission, options.solution, options.id_table)
    _print(result.as_dict(), options.json, result.table())


def explore(options: Namespace) -> None:
    """Looks at a data set."""
    from kfkd.exploring import explore as verb

    found = verb(options.data, options.out, quiet=options.quiet)
    _print(found.summary, options.json, found.table())


def synthetic(options: Namespace) -> None:
    """Makes a folder of built-in faces."""
    from kfkd.pipelines.synthetic import write_kaggle_folder

    made = write_kaggle_folder(
        options.folder,
        options.train,
        options.test,
        options.seed,
        options.zipped,
        quiet=options.quiet,
    )
    print(made)


def bench_load(options: Namespace) -> None:
    """Times the reader."""
    from kfkd.pipelines.bench_load import bench_load as verb

    figures = verb(options.data, options.rows, options.quiet)
    _print(figures, options.json, _figures(figures))


def bench_precision(options: Namespace) -> None:
    """Times mixed precision."""
    _calm_tensorflow()
    from kfkd.bench_precision import bench_precision as verb

    figures = verb(options.name, options.batch_size, quiet=options.quiet)
    _print(figures, options.json, _figures(figures))


def demo(options: Namespace) -> None:
    """Runs the main job on built-in faces."""
    _calm_tensorflow()
    from kfkd.demo import demo as verb

    made = verb(options.out, options.model, options.epochs, options.faces, quiet=options.quiet)
    pictures = made["pictures"]
    _print(made, options.json, _figures({**made, "pictures": "\n  ".join(["", *pictures])}))


def record(options: Namespace) -> None:
    """Puts runs into the zoo's table."""
    from kfkd.recording import record_runs, results_table, write_block

    table = results_table(record_runs(options.runs, options.table))
    if options.readme:
        write_block(options.readme, table)
    print(table)


def _calm_tensorflow() -> None:
    """Keeps TensorFlow's start-up notes out of a command's output.

    They go to the process's stderr before any of its log settings count, so stderr is set aside
    for the import; whoever sets TF_CPP_MIN_LOG_LEVEL gets to see them.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or os.environ.get("KERAS_BACKEND") == "jax":
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        find_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
