"""kfkd submit, score: Kaggle's leaderboard."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.parts import add_verb, picked, print_answer, with_data, with_json, with_quiet


def add_submissions(verbs: Any) -> None:
    """Adds the group's verbs."""
    _add_submit(verbs)
    about = "score a submission against a solution"
    verb = add_verb(verbs, "score", score, about, with_json)
    verb.add_argument("submission", metavar="SUBMISSION")
    verb.add_argument("solution", metavar="SOLUTION")
    about = "where the solution lacks image and feature"
    verb.add_argument("--id-table", metavar="CSV", help=about)


def _add_submit(verbs: Any) -> None:
    verb = add_verb(verbs, "submit", submit, "write a Kaggle submission", with_data, with_quiet)
    about = "runs, folders of kfkd folds, packed ensembles; names of what comes along"
    verb.add_argument("runs", nargs="+", metavar="RUN", help=about)
    about = "mean (default), median, weighted; fitted on folds: weighted, stack, ridge, "
    about += "elastic_net, boosting; or an .npz of kfkd ensemble"
    verb.add_argument("--ensemble", default="mean", metavar="HOW", help=about)
    verb.add_argument("--weights", nargs="+", type=float, help="a number a run, for weighted")
    about = "average only what lowers the out-of-fold error (default: where all are folds)"
    verb.add_argument("--select", action=argparse.BooleanOptionalAction, help=about)
    verb.add_argument("--strict", action="store_true", help="refuse broken members")
    verb.add_argument("--out", metavar="CSV", help="default: submissions/NAME-TIME.csv")
    verb.add_argument("--clip", action="store_true", help="keep coordinates inside the image")
    verb.add_argument("--force", action="store_true", help="allow runs on built-in faces")


def submit(options: Namespace) -> None:
    """Writes a submission."""
    calm_tensorflow()
    from kfkd.submitting import submit as verb

    passed = ("ensemble", "weights", "select", "strict", "out", "clip", "force", "quiet")
    print(verb(options.runs, options.data, **picked(options, passed)))


def score(options: Namespace) -> None:
    """Scores a submission."""
    from kfkd.submissions.scorer import score as verb

    result = verb(options.submission, options.solution, options.id_table)
    print_answer(result.as_dict(), options.json, result.table())
