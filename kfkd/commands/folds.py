"""kfkd folds, ensemble, audit: cross-validation, and what its predictions are good for."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_retracing, calm_tensorflow
from kfkd.commands.parts import (
    Parser,
    add_verb,
    with_data,
    with_json,
    with_quiet,
    with_row_numbers,
)
from kfkd.folds.flags import FLAGS
from kfkd.registry import entry


def add_folds(verbs: Any) -> None:
    """Adds the group's verbs."""
    _add_folds(verbs)
    _add_ensemble(verbs)
    _add_audit(verbs)


def _add_folds(verbs: Any) -> None:
    about = "train models by cross-validation; keeps their out-of-fold predictions"
    parts = (with_data, with_json, with_quiet, _without)
    verb = add_verb(verbs, "folds", folds, about, *parts)
    verb.add_argument("models", nargs="+", metavar="MODEL")
    verb.add_argument("--k", type=int, default=5, metavar="N", help="folds (default 5)")
    verb.add_argument("--seeds", type=int, default=1, metavar="N", help="of each fold (default 1)")
    verb.add_argument("--fold-seed", type=int, default=0, metavar="N", help="of the folds")
    for setting, kind in FLAGS.items():
        verb.add_argument(f"--{setting.replace('_', '-')}", **kind)
    about = "other settings, as for train, such as cycles=2 ema=None"
    verb.add_argument("--set", nargs="+", metavar="KEY=VALUE", help=about)
    about = "an unfinished cross-validation there goes on"
    verb.add_argument("--out", default="kfkd-folds", metavar="DIR", help=about)


def _add_ensemble(verbs: Any) -> None:
    about = "compare ways to combine cross-validated models"
    verb = add_verb(verbs, "ensemble", ensemble, about, with_json, with_quiet, _without)
    verb.add_argument("folds", nargs="+", metavar="FOLDS", help="folders of kfkd folds")
    about = "mean, median, weighted, stack (these four by default), ridge, elastic_net, boosting"
    verb.add_argument("--how", nargs="+", metavar="HOW", help=about)
    verb.add_argument("--strict", action="store_true", help="refuse broken members")
    about = "table.md, results.json and an .npz for each, for kfkd submit --ensemble"
    verb.add_argument("--out", metavar="DIR", help=about)


def _add_audit(verbs: Any) -> None:
    about = "find rows whose labels are probably wrong"
    parts = (with_data, with_json, with_quiet, with_row_numbers)
    verb = add_verb(verbs, "audit", audit, about, *parts)
    about = "folders of kfkd folds (default: duplicates and geometry alone)"
    verb.add_argument("folds", nargs="*", metavar="FOLDS", help=about)
    about = "rows known to be bad, numbers or files of them: says how many are found"
    verb.add_argument("--known", nargs="+", metavar="ROW", help=about)
    verb.add_argument("--sheet", type=int, default=48, metavar="N", help="faces on suspects.png")
    verb.add_argument("--out", default="kfkd-audit", metavar="DIR")


def _without(verb: Parser) -> None:
    about = "rows that the clean figures leave out, numbers or files of them"
    verb.add_argument("--without", nargs="+", default=(), metavar="ROW", help=about)
    with_row_numbers(verb)


def folds(options: Namespace) -> None:
    """Cross-validates models."""
    for name in options.models:
        entry(name)
    calm_tensorflow()
    calm_retracing()
    from kfkd.folds.commands import folds as command

    command(options)


def ensemble(options: Namespace) -> None:
    """Compares ensembles."""
    calm_tensorflow()
    from kfkd.folds.commands import ensemble as command

    command(options)


def audit(options: Namespace) -> None:
    """Looks for wrong labels."""
    calm_tensorflow()
    from kfkd.folds.commands import audit as command

    command(options)
