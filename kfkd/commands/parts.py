"""What verbs of the command line have in common: flags, and how an answer is printed."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

Parser = argparse.ArgumentParser
_MIXED = ("mixed_bfloat16", "mixed_float16")


def add_verb(
    verbs: Any, name: str, run: Callable[[Any], None], about: str, *parts: Callable[[Parser], None]
) -> Parser:
    """Adds a verb.

    Args:
        verbs: what argparse's `add_subparsers` gave.
        name: as it is typed.
        run: called with the options.
        about: a line of help.
        parts: add flags that other verbs have too.

    Returns:
        The verb's own parser.
    """
    verb: Parser = verbs.add_parser(name, help=about, description=about)
    verb.set_defaults(run=run)
    for part in parts:
        part(verb)
    return verb


def with_json(verb: Parser) -> None:
    """Adds --json."""
    verb.add_argument("--json", action="store_true", help="print one JSON object")


def with_quiet(verb: Parser) -> None:
    """Adds --quiet."""
    verb.add_argument("--quiet", action="store_true", help="no progress")


def with_data(verb: Parser) -> None:
    """Adds --data."""
    verb.add_argument(
        "--data",
        metavar="PATH",
        help="Kaggle's folder or zip, synthetic, a folder of photos, or NAME:PATH, see kfkd data "
        "(default: the usual places, else built-in)",
    )


def with_run(verb: Parser) -> None:
    """Adds RUN."""
    verb.add_argument("folder", metavar="RUN")


def with_precision(verb: Parser) -> None:
    """Adds --precision."""
    verb.add_argument("--precision", choices=("float32", *_MIXED), default="float32")


def with_mixed_precision(verb: Parser) -> None:
    """Adds --precision where it is set against float32."""
    verb.add_argument("--precision", choices=_MIXED, default=_MIXED[0])


def with_views(verb: Parser) -> None:
    """Adds --no-views."""
    about = "without mirrored and zoomed views: faster, a little worse"
    verb.add_argument("--no-views", dest="views", action="store_false", help=about)


def with_thorough(verb: Parser) -> None:
    """Adds --thorough."""
    about = "look at every image turned and zoomed as well, as submissions do, where the run may: "
    verb.add_argument("--thorough", action="store_true", help=about + "some seven times as long")


def with_row_numbers(verb: Parser) -> None:
    """Adds --row-numbers."""
    about = "a table of row and kaggle_row, where rows are named as in another file"
    verb.add_argument("--row-numbers", metavar="CSV", help=about)


def with_all_rows(verb: Parser) -> None:
    """Adds --all."""
    verb.add_argument("--all", action="store_true", help="every row, not only the held-out ones")


def picked(options: Namespace, names: Sequence[str]) -> dict[str, Any]:
    """These of the options, by name."""
    given = vars(options)
    return {name: given[name] for name in names}


def print_answer(value: Any, as_json: bool, text: str) -> None:
    """Prints a verb's answer.

    Args:
        value: as plain data.
        as_json: whether it is printed as JSON.
        text: what is printed else.
    """
    told = json.dumps(value, indent=2) if as_json else text
    # Names of files may have in them what the terminal cannot show.
    letters = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(told.encode(letters, "backslashreplace").decode(letters))


def figures_text(value: dict[str, Any]) -> str:
    """A line for each key, the values below each other."""
    width = max(map(len, value))
    return "\n".join(f"{key.ljust(width)}  {v}" for key, v in value.items())


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Prints figures as JSON or as lines."""
    print_answer(figures, as_json, figures_text(figures))
