"""kfkd bench detect, box, boxes, crops: the way from photos to keypoints, measured."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.parts import (
    Parser,
    add_verb,
    picked,
    print_answer,
    print_figures,
    with_data,
    with_json,
    with_precision,
    with_quiet,
    with_run,
)
from kfkd.registry import entry


def add_photo_benches(kinds: Any) -> None:
    """Adds the kinds of `kfkd bench` that look for faces."""
    _add_detect(kinds)
    _add_box(kinds)
    about = "keypoints of photos by detectors' boxes against the data set's"
    parts = (with_run, with_json, with_quiet, _with_detectors)
    verb = add_verb(kinds, "boxes", bench_boxes, about, *parts)
    verb.add_argument("--most", type=int, metavar="N", help="held-out images")
    about = "where detectors see the faces of a data set: its crop rule"
    parts = (with_data, with_json, with_quiet, _with_detectors)
    verb = add_verb(kinds, "crops", bench_crops, about, *parts)
    verb.add_argument("--out", metavar="FILE", help="put the rule into this table (JSON)")


def _with_detectors(verb: Parser) -> None:
    verb.add_argument("--detectors", nargs="+", default=["mtcnn", "haar"], metavar="NAME")


def _add_detect(kinds: Any) -> None:
    about = "photos to keypoints: photos/s, found and missed faces by detector"
    parts = (with_json, with_quiet, _with_detectors)
    verb = add_verb(kinds, "detect", bench_detect, about, *parts)
    verb.add_argument("--photos", nargs="+", required=True, metavar="DIR", help="folders of faces")
    about = "a run, or an entry of the zoo with random weights (default: pyramid, as it comes "
    verb.add_argument("--model", default="pyramid", metavar="RUN", help=about + "along)")
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median counts")
    verb.add_argument("--most", type=int, default=64, metavar="N", help="photos of each folder")


def _add_box(kinds: Any) -> None:
    about = "training on images as they are and cropped by a face detector"
    parts = (with_data, with_json, with_quiet, with_precision)
    verb = add_verb(kinds, "box", bench_box, about, *parts)
    verb.add_argument("--model", default="baseline", metavar="MODEL")
    verb.add_argument("--detector", default="haar", metavar="NAME")
    verb.add_argument("--margin", type=float, default=0.1, metavar="SHARE", help="around the box")
    verb.add_argument("--epochs", type=int, help="at the most")
    verb.add_argument("--augment", default="published", metavar="MIX", help="as for train")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--out", default="kfkd-box", metavar="DIR", help="of runs and box.json")


def bench_detect(options: Namespace) -> None:
    """Times the way from photos to keypoints."""
    entry(options.model)
    calm_tensorflow()
    from kfkd.bench.detect import bench_detect as verb
    from kfkd.bench.detect import figures_table

    passed = ("photos", "detectors", "model", "rounds", "most", "quiet")
    figures = verb(**picked(options, passed))
    print_answer(figures, options.json, figures_table(figures))


def bench_box(options: Namespace) -> None:
    """Trains with and without a face-box stage."""
    entry(options.model)
    calm_tensorflow()
    from kfkd.bench.box import bench_box as verb
    from kfkd.bench.box import box_table

    passed = ("model", "detector", "margin", "epochs", "augment", "seed", "precision", "out")
    found = verb(options.data, quiet=options.quiet, **picked(options, passed))
    print_answer(found, options.json, box_table(found))


def bench_boxes(options: Namespace) -> None:
    """Compares detectors' boxes with given ones."""
    calm_tensorflow()
    from kfkd.bench.boxes import bench_boxes as verb
    from kfkd.bench.boxes import boxes_table

    found = verb(options.folder, options.detectors, options.most, options.quiet)
    print_answer(found, options.json, boxes_table(found))


def bench_crops(options: Namespace) -> None:
    """Measures a crop rule."""
    calm_tensorflow()
    from kfkd.bench.crops import bench_crops as verb

    print_figures(verb(options.data, options.detectors, options.out, options.quiet), options.json)
