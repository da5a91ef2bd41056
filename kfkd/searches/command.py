"""`kfkd tune`: its flags' meaning, and what it prints."""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from typing import Any

from kfkd.learning.key_values import key_values, refuse
from kfkd.searches.checks import space_facts
from kfkd.searches.spaces import search_space
from kfkd.searches.text import space_text
from kfkd.tuning import tune as verb

_PASSED = (
    "tuner",
    "trials",
    "epochs",
    "objective",
    "seed",
    "subsets",
    "precision",
    "factor",
    "out",
    "quiet",
)


def tune(options: Namespace) -> None:
    """Searches good settings, or lists what would be varied.

    Args:
        options: of the command.
    """
    # Every trial has a model of its own; TensorFlow takes them for one that is traced anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    settings = key_values(options.name, options.fix or (), "--fix")
    refuse(settings, (*_PASSED, "name", "data", "space"), "--fix", "tune")
    if options.list:
        facts = _listed(options.name, settings)
        print(json.dumps(facts, indent=2) if options.json else space_text(facts))
        return
    given = vars(options)
    found = verb(options.name, options.data, **{k: given[k] for k in _PASSED}, **settings)
    print(json.dumps(found.as_dict(), indent=2) if options.json else found.table().rstrip())


def _listed(name: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    from keras_tuner import HyperParameters

    hp = HyperParameters()
    search_space(name, {*settings, *settings.get("options", {})})(hp)
    return space_facts(hp)
