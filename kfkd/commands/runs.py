"""kfkd evaluate, predict, correct, pack, export, pretrained: what is done with runs."""

from __future__ import annotations

from argparse import BooleanOptionalAction, Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.parts import (
    add_verb,
    picked,
    print_answer,
    with_all_rows,
    with_data,
    with_json,
    with_quiet,
    with_run,
    with_thorough,
    with_views,
)
from kfkd.errors import KfkdError
from kfkd.progress import say


def add_runs(verbs: Any) -> None:
    """Adds the group's verbs."""
    parts = (with_run, with_data, with_json, with_quiet)
    more = (with_all_rows, with_thorough)
    verb = add_verb(verbs, "evaluate", evaluate, "score a run", *parts, *more)
    about = "of its heatmaps, in the place of its own: dark, soft_argmax, argmax, top_k"
    verb.add_argument("--decoder", metavar="NAME", help=about)
    about = "whether faces out of their place are looked at again (default: as the run does)"
    verb.add_argument("--second-look", action=BooleanOptionalAction, help=about)
    _add_predict(verbs)
    about = "fit a run's answers to its training labels, by the face's shape and its doubts"
    verb = add_verb(verbs, "correct", correct, about, with_data, with_quiet)
    verb.add_argument("folders", nargs="+", metavar="RUN")
    about = "linear_correction or smooth_correction alone (default: both)"
    verb.add_argument("--only", metavar="KIND", help=about)
    about = "a small copy of a run, or of a cross-validation's nets, with a card, to hand on"
    verb = add_verb(verbs, "pack", pack, about, with_run)
    verb.add_argument("--out", required=True, metavar="DIR")
    verb.add_argument("--name", help="what its card calls it (default: the model's name)")
    about = "of a run that learned all rows: the same training with some held out, maybe shorter"
    verb.add_argument("--measured-by", metavar="RUN", help=about)
    about = "of a cross-validation: whose folds alone are wanted (default: those of all seeds)"
    verb.add_argument("--seed", type=int, help=about)
    _add_export(verbs)
    about = "the runs and ensembles that come with the package, each best first, and their scores"
    add_verb(verbs, "pretrained", pretrained, about, with_json)


def _add_predict(verbs: Any) -> None:
    about = "write keypoints as a table"
    parts = (with_run, with_data, with_thorough, with_quiet)
    verb = add_verb(verbs, "predict", predict, about, *parts)
    verb.add_argument("--part", choices=("train", "test"), default="test")
    verb.add_argument("--out", default="predictions.csv", metavar="CSV")
    about = "a row a face (table), or Id,Predicted, a row a number, for CS194-26's competition"
    verb.add_argument("--format", choices=("table", "course"), default="table", help=about)
    about = "more columns of the table: how probably each keypoint is right, where the run can tell"
    verb.add_argument("--confidence", action="store_true", help=about)


def _add_export(verbs: Any) -> None:
    about = "write a run as one model for ONNX Runtime, LiteRT or TensorFlow"
    verb = add_verb(verbs, "export", export, about, with_run, with_views, with_quiet)
    formats = ("onnx", "litert", "saved_model")
    verb.add_argument("--to", choices=formats, default="onnx", help="default: onnx")
    about = "file or folder (default: RUN's name with .onnx, .tflite or _saved_model)"
    verb.add_argument("--out", metavar="PATH", help=about)
    about = "as which of Kaggle's label sources it answers, where it knows both (default: full)"
    verb.add_argument("--source", choices=("full", "four_point"), help=about)
    about = "faces that it is tried on, as for predict (default: built-in)"
    verb.add_argument("--data", metavar="PATH", help=about)


def evaluate(options: Namespace) -> None:
    """Scores a run."""
    calm_tensorflow()
    from kfkd.evaluation import evaluate as verb

    part = "all" if options.all else "validation"
    passed = picked(options, ("thorough", "decoder", "second_look", "quiet"))
    scores = verb(options.folder, options.data, part=part, **passed)
    print_answer(scores.as_dict(), options.json, scores.table())


def predict(options: Namespace) -> None:
    """Writes keypoints."""
    calm_tensorflow()
    from kfkd.data import as_faces
    from kfkd.prediction import write_course_predictions, write_predictions
    from kfkd.runs import finished_run

    run = finished_run(options.folder)
    faces = as_faces(options.data, options.part, options.quiet, run.frame)
    if options.format == "course":
        if options.confidence:
            raise KfkdError("--confidence wants --format table: the course's file has no room")
        if faces.origin != "ibug":
            told = "the course's competition is on iBUG's test images: these ids are of"
            say(f"{told} {len(faces)} faces of {faces.origin}", options.quiet)
        points = run.predict(faces.images, thorough=options.thorough)
        print(write_course_predictions(options.out, faces, points))
        return
    predicted, doubt = run.predict_with_doubt(
        faces.images, source=faces.source, thorough=options.thorough
    )
    confidence = run.confidence(doubt, faces.source) if options.confidence else None
    if confidence is not None and run.calibration is None:
        say(f"{run.folder} cannot tell its confidence: those columns stay empty", options.quiet)
    print(write_predictions(options.out, faces, predicted, run.skeleton, confidence))


def correct(options: Namespace) -> None:
    """Fits corrections of runs."""
    calm_tensorflow()
    from kfkd.correcting import correct as verb
    from kfkd.correction import CORRECTIONS

    for folder in options.folders:
        kinds = CORRECTIONS if options.only is None else (options.only,)
        print(verb(folder, options.data, kinds=kinds, quiet=options.quiet).folder)


def pack(options: Namespace) -> None:
    """Writes a small copy of a run."""
    calm_tensorflow()
    from kfkd.packing import pack as verb
    from kfkd.storage.files import bytes_in

    made = verb(options.folder, options.out, options.name, options.measured_by, options.seed)
    print(f"{made} ({bytes_in(made) / 1e6:.2f} MB)")


def export(options: Namespace) -> None:
    """Writes a run as one model for other runtimes."""
    calm_tensorflow()
    from kfkd.exporting import export as verb

    passed = ("to", "out", "source", "views", "data", "quiet")
    print(verb(options.folder, **picked(options, passed)))


def pretrained(options: Namespace) -> None:
    """Lists the runs and ensembles that come with the package."""
    from kfkd.ensembles.packed import ensemble_facts
    from kfkd.pretrained import pretrained_facts, pretrained_table

    facts = [*pretrained_facts(), *ensemble_facts()]
    print_answer(facts, options.json, pretrained_table(facts))
