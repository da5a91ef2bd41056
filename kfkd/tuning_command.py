"""`kfkd tune`: its flags' meaning, and what it prints."""

from __future__ import annotations

import ast
import json
import logging
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from kfkd.errors import KfkdError
from kfkd.registry import entry
from kfkd.search_spaces import builder_options, search_space
from kfkd.tuning import tune as verb
from kfkd.tuning_checks import space_facts
from kfkd.tuning_text import space_text

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
    settings = fixed_settings(options.name, options.fix or ())
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


def fixed_settings(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Settings of `kfkd.train` from the words after --fix.

    Args:
        name: entry of the zoo; what its builder has as an option becomes one.
        texts: "KEY=VALUE" each, the value as Python writes it, or a bare word.

    Raises:
        KfkdError: when one reads otherwise.

    Example:
        >>> fixed_settings("lenet5", ["loss=mse", "units=60"])
        {'loss': 'mse', 'options': {'units': 60}}
    """
    known = builder_options(entry(name))
    settings: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for text in texts:
        key, found, value = text.partition("=")
        if not found or not key.isidentifier():
            raise KfkdError(f"--fix wants KEY=VALUE, such as batch_size=64. Received: {text}")
        (options if key in known else settings)[key] = _value(value)
    return {**settings, "options": options} if options else settings


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
