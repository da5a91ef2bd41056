"""The command line: the package's verbs with flags."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kfkd import __version__, commands
from kfkd.errors import KfkdError

Parser = argparse.ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: as in a shell; None = those of this process.

    Returns:
        The exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except KfkdError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        trains = options.run in (commands.train, commands.resume)
        return _fail("stopped" + "; it goes on with: kfkd resume RUN" * trains, 130)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"kfkd: {' '.join(message.split())}", file=sys.stderr)
    return code


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser("kfkd", description="Facial keypoints with Keras: a model zoo, honestly scored.")
    top.add_argument("--version", action="version", version=f"kfkd {__version__}")
    verbs = top.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, run: Callable[[Any], None], about: str, *more: Callable[[Parser], None]
    ) -> Parser:
        verb = verbs.add_parser(name, help=about, description=about)
        verb.set_defaults(run=run)
        for part in more:
            part(verb)
        return verb

    verb = add("models", commands.models, "list the zoo's models", _json)
    verb.add_argument("--family", help="only this family")
    verb.add_argument(
        "--measure-costs", metavar="FILE", help="recompute GFLOPs into models/costs.json"
    )
    verb = add("describe", commands.describe, "a model's layers, settings, source, mistakes", _json)
    verb.add_argument("name", metavar="MODEL")
    verb = add("train", commands.train, "train a model of the zoo", _data, _quiet)
    _train_options(verb)
    verb = add("resume", commands.resume, "go on with an unfinished run", _run, _data, _quiet)
    verb = add("evaluate", commands.evaluate, "score a run", _run, _data, _json, _quiet)
    verb.add_argument("--all", action="store_true", help="every row, not only the held-out ones")
    verb = add("predict", commands.predict, "write keypoints as a table", _run, _data, _quiet)
    verb.add_argument("--part", choices=("train", "test"), default="test")
    verb.add_argument("--out", default="predictions.csv", metavar="CSV")
    verb = add("submit", commands.submit, "write a Kaggle submission", _data, _quiet)
    _submit_options(verb)
    verb = add("score", commands.score, "score a submission against a solution", _json)
    verb.add_argument("submission", metavar="SUBMISSION")
    verb.add_argument("solution", metavar="SOLUTION")
    verb.add_argument(
        "--id-table", metavar="CSV", help="where the solution lacks image and feature"
    )
    verb = add("explore", commands.explore, "look at a data set", _data, _json, _quiet)
    verb.add_argument("--out", default="kfkd-explore", metavar="DIR")
    verb = add("synthetic", commands.synthetic, "make built-in faces in Kaggle's layout", _quiet)
    verb.add_argument("folder", metavar="DIR")
    verb.add_argument(
        "--train", type=int, default=2000, help="training faces (default %(default)s)"
    )
    verb.add_argument("--test", type=int, default=300, help="test faces (default %(default)s)")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--zipped", action="store_true", help="training.zip and test.zip")
    _add_bench(verbs)
    verb = add("demo", commands.demo, "the whole way on built-in faces", _json, _quiet)
    verb.add_argument("--out", default="kfkd-demo", metavar="DIR")
    verb.add_argument("--model", default="study_model_1", metavar="MODEL")
    verb.add_argument("--epochs", type=int, default=20)
    verb.add_argument("--faces", type=int, default=2000)
    verb = add("record", commands.record, "put finished runs into the zoo's table of scores")
    verb.add_argument("runs", nargs="*", metavar="RUN")
    verb.add_argument("--table", default="models/results.json", metavar="FILE")
    verb.add_argument("--readme", metavar="FILE", help="renew the table of scores in this file")
    return top


def _json(verb: Parser) -> None:
    verb.add_argument("--json", action="store_true", help="print one JSON object")


def _quiet(verb: Parser) -> None:
    verb.add_argument("--quiet", action="store_true", help="no progress")


def _data(verb: Parser) -> None:
    verb.add_argument(
        "--data",
        metavar="PATH",
        help="Kaggle's folder or zip, or synthetic (default: the usual places, else built-in)",
    )


def _run(verb: Parser) -> None:
    verb.add_argument("folder", metavar="RUN")


def _train_options(verb: Parser) -> None:
    verb.add_argument("name", metavar="MODEL")
    verb.add_argument("--subsets", nargs="+", choices=("dense", "sparse", "all"))
    verb.add_argument("--epochs", type=int)
    verb.add_argument("--batch-size", type=int)
    verb.add_argument("--learning-rate", type=float)
    verb.add_argument("--validation", type=float, metavar="SHARE")
    verb.add_argument("--early-stopping", type=int, metavar="EPOCHS")
    verb.add_argument("--loss", choices=("mse", "rmse", "mae", "huber"))
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument("--drop-incomplete", action="store_true", help="as the study did")
    verb.add_argument("--weights", metavar="FILE", help="of a pre-trained backbone")
    verb.add_argument("--out", metavar="DIR", help="run folder; an unfinished one there goes on")


def _submit_options(verb: Parser) -> None:
    verb.add_argument("runs", nargs="+", metavar="RUN")
    verb.add_argument("--ensemble", choices=("mean", "median", "weighted"), default="mean")
    verb.add_argument("--weights", nargs="+", type=float, help="a number a run, for weighted")
    verb.add_argument("--out", metavar="CSV", help="default: submissions/NAME-TIME.csv")
    verb.add_argument("--clip", action="store_true", help="keep coordinates inside the image")
    verb.add_argument("--force", action="store_true", help="allow runs on built-in faces")


def _add_bench(verbs: Any) -> None:
    bench = verbs.add_parser("bench", help="measure speed, as ratios")
    kinds = bench.add_subparsers(metavar="WHAT", required=True)
    load = kinds.add_parser("load", help="reading training.csv against the usual recipe")
    load.set_defaults(run=commands.bench_load)
    load.add_argument("--data", metavar="PATH", help="default: a full-size file of built-in faces")
    load.add_argument("--rows", type=int, default=7049)
    mixed = kinds.add_parser("precision", help="mixed precision against float32")
    mixed.set_defaults(run=commands.bench_precision)
    mixed.add_argument("name", nargs="?", default="study_model_2", metavar="MODEL")
    mixed.add_argument("--batch-size", type=int, default=64)
    for verb in (load, mixed):
        _json(verb)
        _quiet(verb)


if __name__ == "__main__":
    sys.exit(main())
