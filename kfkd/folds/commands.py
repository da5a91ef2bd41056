"""What `kfkd folds`, `kfkd ensemble` and `kfkd audit` do with their options."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from kfkd.folds.flags import FLAGS

_FOLDS = ("k", "seeds", "fold_seed", "without", "row_numbers", "out", "quiet")
_UNSET = (*FLAGS, *_FOLDS, "data", "callbacks", "phases")


def folds(options: Namespace) -> None:
    """Cross-validates models."""
    from kfkd.folding import cross_validate
    from kfkd.learning.key_values import other_settings

    given = vars(options)
    passed = {key: given[key] for key in _FOLDS if given[key] is not None}
    settings = {key: given[key] for key in FLAGS if given[key] is not None}
    settings |= other_settings(options.models, options.set or (), _UNSET, "folds")
    _show(cross_validate(options.models, options.data, **passed, **settings), options.json)


def ensemble(options: Namespace) -> None:
    """Compares ensembles of cross-validated models."""
    from kfkd.ensembling import ensemble as verb

    given = vars(options)
    passed = {key: given[key] for key in ("row_numbers", "strict", "out", "quiet")}
    passed |= {"hows": options.how} if options.how else {}
    _show(verb(options.folds, without=options.without or (), **passed), options.json)


def audit(options: Namespace) -> None:
    """Looks for wrong labels."""
    from kfkd.auditing import audit as verb

    given = vars(options)
    passed = {key: given[key] for key in ("row_numbers", "out", "sheet", "quiet")}
    _show(verb(options.folds, options.data, known=options.known or (), **passed), options.json)


def _show(found: Any, as_json: bool) -> None:
    print(json.dumps(found.as_dict(), indent=2) if as_json else found.table().rstrip())
