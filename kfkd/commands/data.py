"""kfkd explore, data, synthetic, demo."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.parts import (
    add_verb,
    figures_text,
    print_answer,
    with_data,
    with_json,
    with_quiet,
)
from kfkd.errors import KfkdError


def add_data(verbs: Any) -> None:
    """Adds the group's verbs."""
    parts = (with_data, with_json, with_quiet)
    verb = add_verb(verbs, "explore", explore, "look at a data set", *parts)
    verb.add_argument("--out", default="kfkd-explore", metavar="DIR")
    about = "list data sets, their terms and where they come from, or download one"
    verb = add_verb(verbs, "data", data, about, with_json, with_quiet)
    verb.add_argument("name", nargs="?", metavar="NAME", help="one of them (default: list all)")
    about = "download NAME into this folder and unpack it"
    verb.add_argument("--out", metavar="DIR", help=about)
    about = "the digest that the archive must have, where you know it"
    verb.add_argument("--sha256", default="", metavar="HEX", help=about)
    about = "make built-in faces in Kaggle's layout"
    verb = add_verb(verbs, "synthetic", synthetic, about, with_quiet)
    verb.add_argument("folder", metavar="DIR")
    verb.add_argument("--train", type=int, default=2000, help="training faces (default 2000)")
    verb.add_argument("--test", type=int, default=300, help="test faces (default 300)")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--zipped", action="store_true", help="training.zip and test.zip")
    verb = add_verb(verbs, "demo", demo, "the whole way on built-in faces", with_json, with_quiet)
    verb.add_argument("--out", default="kfkd-demo", metavar="DIR")
    verb.add_argument("--model", default="baseline", metavar="MODEL")
    verb.add_argument("--epochs", type=int, default=20)
    verb.add_argument("--faces", type=int, default=2000)


def explore(options: Namespace) -> None:
    """Looks at a data set."""
    from kfkd.exploring import explore as verb

    found = verb(options.data, options.out, quiet=options.quiet)
    print_answer(found.summary, options.json, found.table())


def data(options: Namespace) -> None:
    """Lists data sets, or downloads one."""
    from kfkd.datasets import data_set, data_table, data_text, download_data, list_data

    if options.sha256 and not (options.name and options.out):
        raise KfkdError("--sha256 wants the NAME of a data set and --out")
    if options.name is None:
        if options.out:
            raise KfkdError("--out wants the NAME of a data set")
        print_answer(list_data(), options.json, data_table())
    elif options.out:
        folder = str(download_data(options.name, options.out, options.quiet, options.sha256))
        print_answer({"name": options.name, "folder": folder}, options.json, folder)
    else:
        row = data_set(options.name)
        print_answer(row, options.json, data_text(row))


def synthetic(options: Namespace) -> None:
    """Makes a folder of built-in faces."""
    from kfkd.pipelines.synthetic import write_kaggle_folder

    numbers = (options.train, options.test, options.seed)
    print(write_kaggle_folder(options.folder, *numbers, options.zipped, quiet=options.quiet))


def demo(options: Namespace) -> None:
    """Runs the main job on built-in faces."""
    calm_tensorflow()
    from kfkd.demo import demo as verb

    made = verb(options.out, options.model, options.epochs, options.faces, quiet=options.quiet)
    told = {key: f"{v:.3f} px" if isinstance(v, float) else v for key, v in made.items()}
    told["pictures"] = "\n  ".join(["", *made["pictures"]])
    print_answer(made, options.json, figures_text(told))
