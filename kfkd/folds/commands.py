"""What `kfkd folds`, `kfkd ensemble` and `kfkd audit` do with their options."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

_FOLDS = ("k", "seeds", "fold_seed", "without", "row_numbers", "out", "quiet")
_SETTINGS = (
    *("subsets", "epochs", "batch_size", "learning_rate", "validation", "precision", "augment"),
    "suspects",
)


def folds(options: Namespace) -> None:
    """Cross-validates models."""
    from kfkd.folding import cross_validate

    given = vars(options)
    passed = {key: given[key] for key in _FOLDS if given[key] is not None}
    settings = {key: given[key] for key in _SETTINGS if given[key] is not None}
    _show(cross_validate(options.models, options.data, **passed, **settings), options.json)


def ensemble(options: Namespace) -> None:
    """Compares ensembles of cross-validated models."""
    from kfkd.ensembling import ensemble as verb

    given = vars(options)
    passed = {key: given[key] for key in ("row_numbers", "strict", "out", "quiet")}
    _show(verb(options.folds, options.how, without=options.without or (), **passed), options.json)


def audit(options: Namespace) -> None:
    """Looks for wrong labels."""
    from kfkd.auditing import audit as verb

    given = vars(options)
    passed = {key: given[key] for key in ("row_numbers", "out", "sheet", "quiet")}
    _show(verb(options.folds, options.data, known=options.known or (), **passed), options.json)


def _show(found: Any, as_json: bool) -> None:
    print(json.dumps(found.as_dict(), indent=2) if as_json else found.table().rstrip())
