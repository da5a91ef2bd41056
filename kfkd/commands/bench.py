"""kfkd bench: speed, as ratios."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.bench_photos import add_photo_benches
from kfkd.commands.parts import (
    Parser,
    add_verb,
    picked,
    print_answer,
    print_figures,
    with_json,
    with_mixed_precision,
    with_precision,
    with_quiet,
    with_run,
    with_views,
)
from kfkd.registry import entry


def add_bench(verbs: Any) -> None:
    """Adds the verb with its kinds."""
    bench = verbs.add_parser("bench", help="measure speed, as ratios")
    kinds = bench.add_subparsers(metavar="WHAT", required=True)
    _add_steps(kinds)
    _add_train(kinds)
    about = "training with augmentation against without, and mixes against per-image code"
    parts = (with_json, with_quiet, with_precision, _with_rounds)
    verb = add_verb(kinds, "augment", bench_augment, about, *parts)
    verb.add_argument("--model", default="study_model_1", metavar="MODEL")
    verb.add_argument("--mixes", nargs="+", default=["standard", "strong"], metavar="MIX")
    add_photo_benches(kinds)
    about = "faces on one core: Keras against exported models"
    parts = (with_run, with_views, with_json, with_quiet)
    verb = add_verb(kinds, "export", bench_export, about, *parts)
    verb.add_argument("--formats", nargs="+", choices=("onnx", "litert", "saved_model"))
    verb.add_argument("--faces", type=int, default=1, metavar="N", help="in one call (default 1)")
    verb.add_argument("--rounds", type=int, default=7, metavar="N", help="the median counts")


def _add_steps(kinds: Any) -> None:
    about = "reading training.csv against the usual recipe"
    verb = add_verb(kinds, "load", bench_load, about, with_json, with_quiet)
    verb.add_argument("--data", metavar="PATH", help="default: a full-size file of built-in faces")
    verb.add_argument("--rows", type=int, default=7049)
    about = "mixed precision against float32"
    parts = (with_json, with_quiet, with_mixed_precision)
    verb = add_verb(kinds, "precision", bench_precision, about, *parts)
    verb.add_argument("name", nargs="?", default="study_model_2", metavar="MODEL")
    verb.add_argument("--batch-size", type=int, default=64)
    about = "training steps with fused batch normalisation against Keras' own"
    verb = add_verb(kinds, "norms", bench_norms, about, with_json, with_quiet, with_precision)
    verb.add_argument("name", nargs="?", default="study_model_1", metavar="MODEL")
    verb.add_argument("--batch-size", type=int, default=64)


def _add_train(kinds: Any) -> None:
    about = "training: the input pipeline's share, the share of the device's rate, images/s"
    parts = (with_json, with_quiet, with_precision, _with_rounds)
    verb = add_verb(kinds, "train", bench_train, about, *parts)
    verb.add_argument("name", nargs="?", default="study_model_1", metavar="MODEL")
    verb.add_argument("--subset", help="which of its models (default: the first)")
    verb.add_argument("--batch-size", type=int, help="default: the model's")
    verb.add_argument("--augment", default="published", metavar="MIX", help="as for train")
    about = "timed steps of a round (default: three seconds' worth)"
    verb.add_argument("--steps", type=int, metavar="N", help=about)


def _with_rounds(verb: Parser) -> None:
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median counts")


def bench_load(options: Namespace) -> None:
    """Times the reader."""
    from kfkd.pipelines.bench_load import bench_load as verb

    print_figures(verb(options.data, options.rows, options.quiet), options.json)


def bench_precision(options: Namespace) -> None:
    """Times mixed precision."""
    entry(options.name)
    calm_tensorflow()
    from kfkd.bench.precision import bench_precision as verb

    given = {"policy": options.precision, "quiet": options.quiet}
    print_figures(verb(options.name, options.batch_size, **given), options.json)


def bench_norms(options: Namespace) -> None:
    """Times fused batch normalisation."""
    entry(options.name)
    calm_tensorflow()
    from kfkd.bench.norms import bench_norms as verb

    given = {"policy": options.precision, "quiet": options.quiet}
    print_figures(verb(options.name, options.batch_size, **given), options.json)


def bench_train(options: Namespace) -> None:
    """Times training."""
    entry(options.name)
    calm_tensorflow()
    from kfkd.bench.train import bench_train as verb

    passed = ("subset", "batch_size", "precision", "augment", "rounds", "steps", "quiet")
    print_figures(verb(options.name, **picked(options, passed)), options.json)


def bench_augment(options: Namespace) -> None:
    """Times augmentation."""
    entry(options.model)
    calm_tensorflow()
    from kfkd.bench.augment import bench_augment as verb

    passed = ("mixes", "precision", "rounds", "quiet")
    print_figures(verb(options.model, **picked(options, passed)), options.json)


def bench_export(options: Namespace) -> None:
    """Times exported models."""
    calm_tensorflow()
    from kfkd.bench.export import bench_export as verb
    from kfkd.bench.export import bench_export_table

    passed = ("formats", "views", "faces", "rounds", "quiet")
    figures = verb(options.folder, **picked(options, passed))
    print_answer(figures, options.json, bench_export_table(figures))
