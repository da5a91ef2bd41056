"""What each command does with its options: call the verb, print the answer."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import Namespace
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError
from kfkd.learning.determinism import find_devices
from kfkd.machines.joining import is_first, machines_asked
from kfkd.progress import say
from kfkd.registry import entry


def _print(value: Any, as_json: bool, text: str) -> None:
    told = json.dumps(value, indent=2) if as_json else text
    # Names of files may have in them what the terminal cannot show.
    letters = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(told.encode(letters, "backslashreplace").decode(letters))


def _figures(value: dict[str, Any]) -> str:
    width = max(map(len, value))
    return "\n".join(f"{key.ljust(width)}  {v}" for key, v in value.items())


def models(options: Namespace) -> None:
    """Lists the zoo, or recomputes its costs."""
    from kfkd.catalogue import list_models, models_table

    if options.measure_costs:
        from kfkd.models.costs import measure_costs
        from kfkd.storage.files import write_json

        write_json(options.measure_costs, measure_costs())
        return
    rows = list_models(options.family)
    _print(rows, options.json, models_table(rows) + "\n\n" + _LEGEND)


_LEGEND = """params, GFLOPs: of the published subsets; two per multiply-add, one image
published: Kaggle private / public RMSE in px, where submitted; the mean face scores 3.87
measured: our kaggle_rmse in px, of photos the NME, on held-out real images; kfkd describe MODEL"""


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
    from kfkd.learning.key_values import other_settings
    from kfkd.training import train as verb

    given = vars(options)
    settings = {key: given[key] for key in _TRAINING}
    recipe = {k: given[k] for k in ("early_stopping", "loss") if given[k] is not None}
    refused = (*settings, *recipe, "data", "weights", "phases", "callbacks")
    other = other_settings([options.name], options.set or (), refused, "train")
    builder = other.pop("options", {})
    if options.weights:
        builder["weights"] = options.weights
    recipe |= _fine_tuning(options)
    settings |= {"devices": _count(options.devices), "machines": _machines(options)}
    run = verb(options.name, options.data, options=builder, **settings, **recipe, **other)
    if is_first():
        _print_run(run)


def _count(devices: str | None) -> int | str | None:
    return int(devices) if devices and devices.isdigit() else devices


def _machines(options: Namespace) -> Any:
    return machines_asked(options.machines, options.machine, options.coordinator)


def _fine_tuning(options: Namespace) -> dict[str, Any]:
    from kfkd.learning.fine_tuning import fine_tuning

    if options.fine_tune is None:
        if (options.head_epochs, options.fine_tune_rate) != (None, None):
            raise KfkdError("--head-epochs and --fine-tune-rate want --fine-tune")
        return {}
    epochs = entry(options.name).recipe.epochs if options.epochs is None else options.epochs
    found = (options.fine_tune, options.head_epochs, options.fine_tune_rate)
    return {"phases": fine_tuning(epochs, *found)}


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
    "fold",
    "suspects",
    "start",
    "teachers",
    "teacher_share",
    "drop_incomplete",
    "out",
    "quiet",
)


def resume(options: Namespace) -> None:
    """Goes on with a run."""
    _calm_tensorflow()
    from kfkd.training import resume as verb

    given = (options.folder, options.data, options.quiet, _count(options.devices))
    run = verb(*given, machines=_machines(options))
    if is_first():
        _print_run(run)


def augment(options: Namespace) -> None:
    """Draws a mix, or lists them."""
    from kfkd.augment import MIXES, mix

    if options.mix is None:
        from kfkd.augmenting import listed

        if options.data is not None:
            raise KfkdError("kfkd augment --data wants a mix to draw, such as kfkd augment strong")
        _print(dict(MIXES), options.json, listed(MIXES))
        return
    chosen = mix(options.mix)
    _calm_tensorflow()
    from kfkd.augmenting import draw_mix as verb

    given = vars(options)
    passed = ("out", "faces", "draws", "seed", "quiet")
    made = verb(chosen, options.data, **{key: given[key] for key in passed})
    _print(made.as_dict(), options.json, made.table())


def compare(options: Namespace) -> None:
    """Compares augmentation mixes."""
    entry(options.model)
    _calm_tensorflow()
    # Every training has a model of its own; TensorFlow takes them for one that is traced anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from kfkd.comparing import compare as verb

    given = vars(options)
    passed = ("model", "mixes", "seeds", "split_seed", "subsets", "precision", "out", "quiet")
    numbers = {key: given[key] for key in ("epochs", "batch_size", "learning_rate")}
    asked = {key: number for key, number in numbers.items() if number is not None}
    found = verb(options.data, **{key: given[key] for key in passed}, **asked)
    _print(found.as_dict(), options.json, found.table().rstrip())


def folds(options: Namespace) -> None:
    """Cross-validates models."""
    for name in options.models:
        entry(name)
    _calm_tensorflow()
    # Every training has a model of its own; TensorFlow takes them for one that is traced anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from kfkd.folds.commands import folds as command

    command(options)


def ensemble(options: Namespace) -> None:
    """Compares ensembles."""
    _calm_tensorflow()
    from kfkd.folds.commands import ensemble as command

    command(options)


def audit(options: Namespace) -> None:
    """Looks for wrong labels."""
    _calm_tensorflow()
    from kfkd.folds.commands import audit as command

    command(options)


def tune(options: Namespace) -> None:
    """Searches good settings."""
    entry(options.name)
    _calm_tensorflow()
    from kfkd.searches.command import tune as command

    command(options)


def _print_run(run: Any) -> None:
    rows = [
        f"{name}: {score:.3f} px (mean face {mean:.2f})"
        for name, score in run.metrics["model"].items()
        if None not in (score, mean := run.metrics["mean_face"].get(name))
    ]
    print("\n".join([str(run.folder), *rows]))


def evaluate(options: Namespace) -> None:
    """Scores a run."""
    _calm_tensorflow()
    from kfkd.evaluation import evaluate as verb

    part = "all" if options.all else "validation"
    scores = verb(options.folder, options.data, part=part, quiet=options.quiet)
    _print(scores.as_dict(), options.json, scores.table())


def analyse(options: Namespace) -> None:
    """Says where a run errs."""
    _calm_tensorflow()
    from kfkd.analysing import analyse as verb

    given, part = vars(options), "all" if options.all else "validation"
    passed = ("out", "worst", "calibrate", "quiet")
    found = verb(options.runs, options.data, part, **{key: given[key] for key in passed})
    _print(found.as_dict(), options.json, "\n".join([found.table(), "", *found.files]))


def ladder(options: Namespace) -> None:
    """Makes a table of runs."""
    if options.runs:
        _calm_tensorflow()
    from kfkd.laddering import ladder as verb

    given = vars(options)
    passed = ("clean", "row_numbers", "add_to", "sort", "out", "quiet")
    found = verb(options.runs, options.data, **{key: given[key] for key in passed})
    _print(found.as_dict(), options.json, found.table().rstrip())


def predict(options: Namespace) -> None:
    """Writes keypoints."""
    _calm_tensorflow()
    from kfkd.data import as_faces
    from kfkd.prediction import write_course_predictions, write_predictions
    from kfkd.runs import finished_run

    run = finished_run(options.folder)
    faces = as_faces(options.data, options.part, options.quiet, run.frame)
    if options.format == "course":
        if options.confidence:
            raise KfkdError("--confidence wants --format table: the course's file has no room")
        print(write_course_predictions(options.out, faces, run.predict(faces.images)))
        return
    predicted, doubt = run.predict_with_doubt(faces.images, source=faces.source)
    confidence = run.confidence(doubt, faces.source) if options.confidence else None
    if confidence is not None and run.calibration is None:
        say(f"{run.folder} cannot tell its confidence: those columns stay empty", options.quiet)
    print(write_predictions(options.out, faces, predicted, run.skeleton, confidence))


def filters(options: Namespace) -> None:
    """Draws the filters of a run."""
    _calm_tensorflow()
    from kfkd.seeing_commands import filters as command

    command(options)


def features(options: Namespace) -> None:
    """Draws feature maps of a run."""
    _calm_tensorflow()
    from kfkd.seeing_commands import features as command

    command(options)


def pack(options: Namespace) -> None:
    """Writes a small copy of a run."""
    _calm_tensorflow()
    from kfkd.packing import pack as verb
    from kfkd.packing import size

    made = verb(options.folder, options.out, options.name, options.measured_by)
    print(f"{made} ({size(made) / 1e6:.2f} MB)")


def export(options: Namespace) -> None:
    """Writes a run as one model for other runtimes."""
    _calm_tensorflow()
    from kfkd.exporting import export as verb

    given = vars(options)
    passed = ("to", "out", "source", "views", "data", "quiet")
    print(verb(options.folder, **{key: given[key] for key in passed}))


def pretrained(options: Namespace) -> None:
    """Lists the runs that come with the package."""
    from kfkd.pretrained import pretrained_facts, pretrained_table

    facts = pretrained_facts()
    _print(facts, options.json, pretrained_table(facts))


def detect(options: Namespace) -> None:
    """Finds faces and keypoints in photos or a video."""
    from kfkd.detecting_commands import asked

    settings = asked(options)
    _calm_tensorflow()
    if options.video is not None:
        from kfkd.detecting_video import detect_video

        made = detect_video(**settings)
        _print(made.as_dict(), options.json, _figures(made.as_dict()))
        return
    from kfkd.detecting import detect as verb
    from kfkd.detections import summary, table

    found = verb(**settings)
    _print([photo.as_dict() for photo in found], options.json, table(found))
    say(summary(found), options.quiet)


def submit(options: Namespace) -> None:
    """Writes a submission."""
    _calm_tensorflow()
    from kfkd.submitting import submit as verb

    given = vars(options)
    passed = ("ensemble", "weights", "select", "strict", "out", "clip", "force", "quiet")
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


def data(options: Namespace) -> None:
    """Lists data sets, or downloads one."""
    from kfkd.datasets import data_set, data_table, data_text, download_data, list_data

    if options.name is None:
        if options.out:
            raise KfkdError("--out wants the NAME of a data set")
        _print(list_data(), options.json, data_table())
    elif options.out:
        folder = str(download_data(options.name, options.out, options.quiet))
        _print({"name": options.name, "folder": folder}, options.json, folder)
    else:
        row = data_set(options.name)
        _print(row, options.json, data_text(row))


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
    entry(options.name)
    _calm_tensorflow()
    from kfkd.bench.precision import bench_precision as verb

    figures = verb(options.name, options.batch_size, quiet=options.quiet)
    _print(figures, options.json, _figures(figures))


def bench_norms(options: Namespace) -> None:
    """Times fused batch normalisation."""
    entry(options.name)
    _calm_tensorflow()
    from kfkd.bench.norms import bench_norms as verb

    given = {"policy": options.precision, "quiet": options.quiet}
    figures = verb(options.name, options.batch_size, **given)
    _print(figures, options.json, _figures(figures))


def bench_train(options: Namespace) -> None:
    """Times training."""
    entry(options.name)
    _calm_tensorflow()
    from kfkd.bench.train import bench_train as verb

    given = vars(options)
    passed = ("subset", "batch_size", "precision", "augment", "rounds", "steps", "quiet")
    figures = verb(options.name, **{key: given[key] for key in passed})
    _print(figures, options.json, _figures(figures))


def bench_augment(options: Namespace) -> None:
    """Times augmentation."""
    entry(options.model)
    _calm_tensorflow()
    from kfkd.bench.augment import bench_augment as verb

    given = vars(options)
    passed = ("mixes", "precision", "rounds", "quiet")
    figures = verb(options.model, **{key: given[key] for key in passed})
    _print(figures, options.json, _figures(figures))


def bench_detect(options: Namespace) -> None:
    """Times the way from photos to keypoints."""
    entry(options.model)
    _calm_tensorflow()
    from kfkd.bench.detect import bench_detect as verb
    from kfkd.bench.detect import figures_table

    given = vars(options)
    passed = ("photos", "detectors", "model", "rounds", "most", "quiet")
    figures = verb(**{key: given[key] for key in passed})
    _print(figures, options.json, figures_table(figures))


def bench_crops(options: Namespace) -> None:
    """Measures a crop rule."""
    _calm_tensorflow()
    from kfkd.bench.crops import bench_crops as verb

    found = verb(options.data, options.detectors, options.out, options.quiet)
    _print(found, options.json, _figures(found))


def bench_box(options: Namespace) -> None:
    """Trains with and without a face-box stage."""
    entry(options.model)
    _calm_tensorflow()
    from kfkd.bench.box import bench_box as verb
    from kfkd.bench.box import box_table

    given = vars(options)
    passed = ("model", "detector", "margin", "epochs", "augment", "seed", "precision", "out")
    found = verb(options.data, quiet=options.quiet, **{key: given[key] for key in passed})
    _print(found, options.json, box_table(found))


def bench_boxes(options: Namespace) -> None:
    """Compares detectors' boxes with given ones."""
    _calm_tensorflow()
    from kfkd.bench.boxes import bench_boxes as verb
    from kfkd.bench.boxes import boxes_table

    found = verb(options.folder, options.detectors, options.most, options.quiet)
    _print(found, options.json, boxes_table(found))


def bench_export(options: Namespace) -> None:
    """Times exported models."""
    _calm_tensorflow()
    from kfkd.bench.export import bench_export as verb
    from kfkd.bench.export import bench_export_table

    given = vars(options)
    passed = ("formats", "views", "rounds", "quiet")
    figures = verb(options.folder, **{key: given[key] for key in passed})
    _print(figures, options.json, bench_export_table(figures))


def demo(options: Namespace) -> None:
    """Runs the main job on built-in faces."""
    _calm_tensorflow()
    from kfkd.demo import demo as verb

    made = verb(options.out, options.model, options.epochs, options.faces, quiet=options.quiet)
    told = {key: f"{v:.3f} px" if isinstance(v, float) else v for key, v in made.items()}
    told["pictures"] = "\n  ".join(["", *made["pictures"]])
    _print(made, options.json, _figures(told))


def record(options: Namespace) -> None:
    """Puts runs into the zoo's tables."""
    _calm_tensorflow()
    # Every run has a model of its own; TensorFlow takes them for one that is traced anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from kfkd.storage.locks import renewing

    tables = (Path(table) for table in (options.table, options.landmark_table))
    with ExitStack() as stack:  # until the pages are written, which show the whole tables
        for table in sorted({*tables}):
            stack.enter_context(renewing(table, options.quiet))
        _record(options)


def _record(options: Namespace) -> None:
    from kfkd.landmarks.recording import best_landmarks, landmark_table, record_landmarks
    from kfkd.recording import record_runs, results_table, write_block
    from kfkd.runs import finished_run
    from kfkd.skeletons import KAGGLE_15

    runs = [finished_run(run) for run in options.runs]
    of_kaggle = [run for run in runs if run.skeleton.points == KAGGLE_15.points]
    of_photos = [run for run in runs if run.skeleton.points != KAGGLE_15.points]
    blocks = []
    if of_kaggle or not runs:
        table = results_table(record_runs(of_kaggle, options.table))
        blocks.append((options.readme, "measured", table))
    if of_photos or not runs:
        found = record_landmarks(of_photos, options.landmark_table, options.quiet)
        blocks.append((options.readme, "landmarks", best_landmarks(found)))
        blocks.append((options.landmark_page, "landmarks", landmark_table(found)))
    for page, name, text in blocks:
        if page:
            write_block(page, text, name)
        print(text)


_BACKENDS = ("tensorflow", "jax", "torch")


def _calm_tensorflow() -> None:
    """Keeps TensorFlow's start-up notes out of a command's output.

    They go to the process's stderr before any of its log settings count, so stderr is set aside
    for the import; whoever sets TF_CPP_MIN_LOG_LEVEL gets to see them.
    """
    backend, told = _asked_backend()
    _check_backend(backend, told)
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or backend != "tensorflow":
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


def _asked_backend() -> tuple[str, str]:
    """The backend that the environment or else Keras' own settings name, and who names it."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend, f"KERAS_BACKEND={backend:.80}"
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        backend = str(json.loads(file.read_text())["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow", "none"
    return backend, f"backend {backend:.80} in {file}"


def _check_backend(backend: str, told: str) -> None:
    """Refuses a backend that is not there, where Keras would end in a traceback.

    Raises:
        KfkdError: saying which are.
    """
    if backend in _BACKENDS and find_spec(backend):
        return
    there = [name for name in _BACKENDS if find_spec(name)]
    way = f"set KERAS_BACKEND={there[0]}" if there else "pip install tensorflow"
    why = "is not installed" if backend in _BACKENDS else "is no backend of kfkd"
    raise KfkdError(f"{way}. Received: {told}, which {why}")
