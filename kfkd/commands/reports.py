"""kfkd analyse, ladder, filters, features: looking at runs."""

from __future__ import annotations

from argparse import Namespace
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
    with_row_numbers,
    with_run,
)


def add_reports(verbs: Any) -> None:
    """Adds the group's verbs."""
    _add_analyse(verbs)
    _add_ladder(verbs)
    _add_seeing(verbs)


def _add_analyse(verbs: Any) -> None:
    about = "where a run errs: tables and pictures by keypoint, source and property of the faces"
    verb = add_verb(verbs, "analyse", analyse, about, with_data, with_json, with_quiet)
    about = "one, or several that answer as one by their mean, or a folder of kfkd folds"
    verb.add_argument("runs", nargs="+", metavar="RUN", help=about)
    with_all_rows(verb)
    about = "of the worst images (default 40)"
    verb.add_argument("--worst", type=int, default=40, metavar="N", help=about)
    about = "write what the run's doubt is worth into its run.json, as new trainings do"
    verb.add_argument("--calibrate", action="store_true", help=about)
    verb.add_argument("--out", default="kfkd-analyse", metavar="DIR")


def _add_ladder(verbs: Any) -> None:
    about = "one table of runs: what each changed, what it cost, and its scores"
    parts = (with_data, with_json, with_quiet, with_row_numbers)
    verb = add_verb(verbs, "ladder", ladder, about, *parts)
    verb.add_argument("runs", nargs="*", metavar="RUN")
    about = "a second figure without these rows of the data: numbers from 1, or files of them"
    verb.add_argument("--clean", nargs="+", default=(), metavar="ROW", help=about)
    about = "add the runs to the JSON file of an earlier ladder (made where it is absent)"
    verb.add_argument("--add-to", metavar="JSON", help=about)
    verb.add_argument("--sort", metavar="SCORE", help="such as kaggle_rmse, full, params, minutes")
    about = "write the table there; without --add-to its figures go beside it as .json"
    verb.add_argument("--out", metavar="FILE.md", help=about)


def _add_seeing(verbs: Any) -> None:
    about = "draw the filters of a run's first convolution"
    verb = add_verb(verbs, "filters", filters, about, with_run, with_json)
    verb.add_argument("--out", default="kfkd-filters", metavar="DIR")
    about = "draw what layers of a run make of an image"
    parts = (with_run, with_data, with_json, with_quiet)
    verb = add_verb(verbs, "features", features, about, *parts)
    about = "an image file, its biggest face counts, or the number of a row of --data"
    verb.add_argument("image", nargs="?", metavar="IMAGE", help=about)
    about = "default: the first, middle and last convolutional stage's outputs"
    verb.add_argument("--layers", nargs="+", metavar="NAME", help=about)
    verb.add_argument("--list", action="store_true", help="print the layers and what they give")
    about = "mtcnn (default), haar or yunet, for photos"
    verb.add_argument("--detector", default="mtcnn", metavar="NAME", help=about)
    verb.add_argument("--out", default="kfkd-features", metavar="DIR")


def analyse(options: Namespace) -> None:
    """Says where a run errs."""
    calm_tensorflow()
    from kfkd.analysing import analyse as verb

    part, passed = "all" if options.all else "validation", ("out", "worst", "calibrate", "quiet")
    found = verb(options.runs, options.data, part, **picked(options, passed))
    print_answer(found.as_dict(), options.json, "\n".join([found.table(), "", *found.files]))


def ladder(options: Namespace) -> None:
    """Makes a table of runs."""
    if options.runs:
        calm_tensorflow()
    from kfkd.laddering import ladder as verb

    passed = ("clean", "row_numbers", "add_to", "sort", "out", "quiet")
    found = verb(options.runs, options.data, **picked(options, passed))
    print_answer(found.as_dict(), options.json, found.table().rstrip())


def filters(options: Namespace) -> None:
    """Draws the filters of a run."""
    calm_tensorflow()
    from kfkd.seeing_commands import filters as command

    command(options)


def features(options: Namespace) -> None:
    """Draws feature maps of a run."""
    calm_tensorflow()
    from kfkd.seeing_commands import features as command

    command(options)
