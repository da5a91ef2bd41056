"""kfkd augment, compare, tune: which settings are good."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_retracing, calm_tensorflow
from kfkd.commands.parts import (
    add_verb,
    picked,
    print_answer,
    with_data,
    with_json,
    with_precision,
    with_quiet,
)
from kfkd.errors import KfkdError
from kfkd.registry import entry


def add_searches(verbs: Any) -> None:
    """Adds the group's verbs."""
    _add_augment(verbs)
    _add_compare(verbs)
    _add_tune(verbs)


def _add_augment(verbs: Any) -> None:
    about = "draw what an augmentation mix does, or list the named mixes"
    verb = add_verb(verbs, "augment", augment, about, with_data, with_json, with_quiet)
    verb.add_argument("mix", nargs="?", metavar="MIX", help="a name or a text (default: list all)")
    verb.add_argument("--faces", type=int, default=6, metavar="N", help="faces drawn (default 6)")
    verb.add_argument("--draws", type=int, default=9, metavar="N", help="of each (default 9)")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--out", default="kfkd-augment", metavar="DIR")


def _add_compare(verbs: Any) -> None:
    about = "train with several augmentation mixes and seeds, and say what differs"
    parts = (with_data, with_json, with_quiet, with_precision)
    verb = add_verb(verbs, "compare", compare, about, *parts)
    verb.add_argument("--model", default="simple_cnn", metavar="MODEL")
    about = "names or texts, the first is the control (default: none and the study's ten)"
    verb.add_argument("--mixes", nargs="+", metavar="MIX", help=about)
    verb.add_argument("--seeds", type=int, default=3, metavar="N", help="of each mix (default 3)")
    about = "of the split that all trainings share"
    verb.add_argument("--split-seed", type=int, default=0, metavar="N", help=about)
    verb.add_argument("--epochs", type=int)
    verb.add_argument("--batch-size", type=int)
    verb.add_argument("--learning-rate", type=float)
    verb.add_argument("--subsets", nargs="+", choices=("dense", "sparse", "all"))
    about = "an unfinished comparison there goes on"
    verb.add_argument("--out", default="kfkd-compare", metavar="DIR", help=about)


def _add_tune(verbs: Any) -> None:
    about = "search good settings of a model with Keras Tuner"
    parts = (with_data, with_json, with_quiet, with_precision)
    verb = add_verb(verbs, "tune", tune, about, *parts)
    verb.add_argument("name", metavar="MODEL")
    about = "random (default), bayesian, hyperband or grid"
    verb.add_argument("--tuner", default="random", metavar="NAME", help=about)
    about = "at the most (default: 20; as many as Hyperband or the grid has)"
    verb.add_argument("--trials", type=int, metavar="N", help=about)
    verb.add_argument("--epochs", type=int, help="of a trial, at the most (default: the model's)")
    about = "the score to make small: kaggle_rmse, all, dense, nme, … (default: the data's usual)"
    verb.add_argument("--objective", metavar="SCORE", help=about)
    about = "settings that are not varied: batch_size=64 augment=standard dropout=0.5 …"
    verb.add_argument("--fix", nargs="+", metavar="KEY=VALUE", help=about)
    verb.add_argument("--subsets", nargs="+", metavar="SUBSET", help="as for train")
    about = "of Hyperband: N times fewer trials go on, for N times the epochs (default 3)"
    verb.add_argument("--factor", type=int, default=3, metavar="N", help=about)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--list", action="store_true", help="print what would be varied, and stop")
    about = "an unfinished search there goes on (default: kfkd-tune/MODEL-TUNER)"
    verb.add_argument("--out", metavar="DIR", help=about)


def augment(options: Namespace) -> None:
    """Draws a mix, or lists them."""
    from kfkd.augment import MIXES, mix

    if options.mix is None:
        from kfkd.augmenting import listed

        if options.data is not None:
            raise KfkdError("kfkd augment --data wants a mix to draw, such as kfkd augment strong")
        print_answer(dict(MIXES), options.json, listed(MIXES))
        return
    chosen = mix(options.mix)
    calm_tensorflow()
    from kfkd.augmenting import draw_mix as verb

    passed = ("out", "faces", "draws", "seed", "quiet")
    made = verb(chosen, options.data, **picked(options, passed))
    print_answer(made.as_dict(), options.json, made.table())


def compare(options: Namespace) -> None:
    """Compares augmentation mixes."""
    entry(options.model)
    calm_tensorflow()
    calm_retracing()
    from kfkd.comparing import compare as verb

    passed = ("model", "mixes", "seeds", "split_seed", "subsets", "precision", "out", "quiet")
    numbers = picked(options, ("epochs", "batch_size", "learning_rate"))
    asked = {key: number for key, number in numbers.items() if number is not None}
    found = verb(options.data, **picked(options, passed), **asked)
    print_answer(found.as_dict(), options.json, found.table().rstrip())


def tune(options: Namespace) -> None:
    """Searches good settings."""
    entry(options.name)
    calm_tensorflow()
    from kfkd.searches.command import tune as command

    command(options)
