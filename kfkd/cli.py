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
        return _fail("stopped" + _GO_ON.get(options.run, ""), 130)
    return 0


_GO_ON = {
    commands.train: "; it goes on with: kfkd resume RUN",
    commands.resume: "; it goes on with: kfkd resume RUN",
    commands.compare: "; run the same command again to go on",
}


def _fail(message: str, code: int) -> int:
    print(f"kfkd: {' '.join(message.split())}", file=sys.stderr)
    return code


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser("kfkd", description="Facial keypoints with Keras: a model zoo, honestly scored.")
    top.add_argument("--version", action="version", version=f"kfkd {__version__}")
    verbs = top.add_subparsers(metavar="COMMAND", required=True)
    _add_zoo(verbs)
    _add_runs(verbs)
    _add_detect(verbs)
    _add_augment(verbs)
    _add_compare(verbs)
    _add_submissions(verbs)
    _add_data(verbs)
    _add_bench(verbs)
    return top


def _verb(
    verbs: Any, name: str, run: Callable[[Any], None], about: str, *parts: Callable[[Parser], None]
) -> Parser:
    verb: Parser = verbs.add_parser(name, help=about, description=about)
    verb.set_defaults(run=run)
    for part in parts:
        part(verb)
    return verb


def _add_zoo(verbs: Any) -> None:
    verb = _verb(verbs, "models", commands.models, "list the zoo's models", _json)
    verb.add_argument("--family", help="only this family")
    verb.add_argument("--measure-costs", metavar="FILE", help="recompute GFLOPs into this file")
    about = "a model's layers, settings, source and the source's mistakes"
    verb = _verb(verbs, "describe", commands.describe, about, _json)
    verb.add_argument("name", metavar="MODEL")
    about = "put finished runs into the zoo's table of scores"
    verb = _verb(verbs, "record", commands.record, about)
    verb.add_argument("runs", nargs="*", metavar="RUN")
    verb.add_argument("--table", default="models/results.json", metavar="FILE")
    verb.add_argument("--readme", metavar="FILE", help="renew the table of scores in this file")


def _add_runs(verbs: Any) -> None:
    verb = _verb(verbs, "train", commands.train, "train a model of the zoo", _data, _quiet)
    _train_options(verb)
    _verb(verbs, "resume", commands.resume, "go on with an unfinished run", _run, _data, _quiet)
    verb = _verb(verbs, "evaluate", commands.evaluate, "score a run", _run, _data, _json, _quiet)
    verb.add_argument("--all", action="store_true", help="every row, not only the held-out ones")
    about = "write keypoints as a table"
    verb = _verb(verbs, "predict", commands.predict, about, _run, _data, _quiet)
    verb.add_argument("--part", choices=("train", "test"), default="test")
    verb.add_argument("--out", default="predictions.csv", metavar="CSV")


def _add_detect(verbs: Any) -> None:
    about = "find faces and keypoints in photos, a video or a camera"
    verb = _verb(verbs, "detect", commands.detect, about, _run, _json, _quiet)
    verb.add_argument("photos", nargs="*", metavar="PHOTO", help="image files and folders")
    verb.add_argument("--video", metavar="SOURCE", help="a video file, or a camera's number")
    about = "faces.json, faces.csv and drawn photos go there (a video's: kfkd-detect)"
    verb.add_argument("--out", metavar="DIR", help=about)
    about = "mtcnn (default), haar, yunet, or box"
    verb.add_argument("--detector", metavar="NAME", help=about)
    verb.add_argument("--faces", choices=("all", "biggest"), default="all")
    about = "faces that the detector is less sure of are left out (default: its usual value)"
    verb.add_argument("--least-score", type=float, metavar="S", help=about)
    about = "where the face is, in pixels; may be given several times"
    box: dict[str, Any] = {"nargs": 4, "type": float, "action": "append"}
    verb.add_argument("--box", **box, metavar=tuple("XYWH"), help=about)
    about = "turn faces by their predicted eyes N times, for detectors without eyes"
    verb.add_argument("--refine", type=int, default=0, metavar="N", help=about)
    verb.add_argument("--batch-size", type=int, default=16, metavar="N", help="photos at a time")


def _add_augment(verbs: Any) -> None:
    about = "draw what an augmentation mix does, or list the named mixes"
    verb = _verb(verbs, "augment", commands.augment, about, _data, _json, _quiet)
    verb.add_argument("mix", nargs="?", metavar="MIX", help="a name or a text (default: list all)")
    verb.add_argument("--faces", type=int, default=6, metavar="N", help="faces drawn (default 6)")
    verb.add_argument("--draws", type=int, default=9, metavar="N", help="of each (default 9)")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--out", default="kfkd-augment", metavar="DIR")


def _add_compare(verbs: Any) -> None:
    about = "train with several augmentation mixes and seeds, and say what differs"
    verb = _verb(verbs, "compare", commands.compare, about, _data, _json, _quiet)
    verb.add_argument("--model", default="simple_cnn", metavar="MODEL")
    verb.add_argument(
        "--mixes",
        nargs="+",
        metavar="MIX",
        help="names or texts, the first is the control (default: none and the study's ten)",
    )
    verb.add_argument("--seeds", type=int, default=3, metavar="N", help="of each mix (default 3)")
    verb.add_argument("--epochs", type=int)
    verb.add_argument("--subsets", nargs="+", choices=("dense", "sparse", "all"))
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument(
        "--out",
        default="kfkd-compare",
        metavar="DIR",
        help="an unfinished comparison there goes on",
    )


def _add_submissions(verbs: Any) -> None:
    verb = _verb(verbs, "submit", commands.submit, "write a Kaggle submission", _data, _quiet)
    _submit_options(verb)
    about = "score a submission against a solution"
    verb = _verb(verbs, "score", commands.score, about, _json)
    verb.add_argument("submission", metavar="SUBMISSION")
    verb.add_argument("solution", metavar="SOLUTION")
    verb.add_argument(
        "--id-table", metavar="CSV", help="where the solution lacks image and feature"
    )


def _add_data(verbs: Any) -> None:
    verb = _verb(verbs, "explore", commands.explore, "look at a data set", _data, _json, _quiet)
    verb.add_argument("--out", default="kfkd-explore", metavar="DIR")
    about = "list data sets, their terms and where they come from, or download one"
    verb = _verb(verbs, "data", commands.data, about, _json, _quiet)
    verb.add_argument("name", nargs="?", metavar="NAME", help="one of them (default: list all)")
    about = "download NAME into this folder and unpack it"
    verb.add_argument("--out", metavar="DIR", help=about)
    about = "make built-in faces in Kaggle's layout"
    verb = _verb(verbs, "synthetic", commands.synthetic, about, _quiet)
    verb.add_argument("folder", metavar="DIR")
    verb.add_argument("--train", type=int, default=2000, help="training faces (default 2000)")
    verb.add_argument("--test", type=int, default=300, help="test faces (default 300)")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--zipped", action="store_true", help="training.zip and test.zip")
    verb = _verb(verbs, "demo", commands.demo, "the whole way on built-in faces", _json, _quiet)
    verb.add_argument("--out", default="kfkd-demo", metavar="DIR")
    verb.add_argument("--model", default="baseline", metavar="MODEL")
    verb.add_argument("--epochs", type=int, default=20)
    verb.add_argument("--faces", type=int, default=2000)


def _json(verb: Parser) -> None:
    verb.add_argument("--json", action="store_true", help="print one JSON object")


def _quiet(verb: Parser) -> None:
    verb.add_argument("--quiet", action="store_true", help="no progress")


def _data(verb: Parser) -> None:
    verb.add_argument(
        "--data",
        metavar="PATH",
        help="Kaggle's folder or zip, synthetic, a folder of photos, or NAME:PATH, see kfkd data "
        "(default: the usual places, else built-in)",
    )


def _run(verb: Parser) -> None:
    verb.add_argument("folder", metavar="RUN")


def _train_options(verb: Parser) -> None:
    verb.add_argument("name", metavar="MODEL")
    about = "keypoints to learn, a model each: dense, sparse or all; of photos nose or all"
    verb.add_argument("--subsets", nargs="+", metavar="SUBSET", help=about)
    verb.add_argument("--epochs", type=int)
    verb.add_argument("--batch-size", type=int)
    verb.add_argument("--learning-rate", type=float)
    verb.add_argument("--validation", type=float, metavar="SHARE")
    verb.add_argument("--early-stopping", type=int, metavar="EPOCHS")
    losses = ("mse", "rmse", "mae", "huber", "wing", "weighted_mse", "adaptive_wing")
    verb.add_argument("--loss", choices=losses)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument(
        "--augment",
        default="published",
        metavar="MIX",
        help="a mix by name or as text, none, or published (default), see kfkd augment",
    )
    verb.add_argument(
        "--copies",
        action=argparse.BooleanOptionalAction,
        help="fixed copies of every image for each branch of the mix (default: as published)",
    )
    verb.add_argument("--split-seed", type=int, metavar="N", help="of the split alone")
    verb.add_argument("--drop-incomplete", action="store_true", help="as the study did")
    about = "of a pre-trained backbone: a file, or a TF-Hub module's folder, .tar.gz or handle"
    verb.add_argument("--weights", metavar="PATH", help=about)
    about = "let the backbone's last N layers (or all) learn after the head"
    verb.add_argument("--fine-tune", metavar="N", help=about)
    about = "of the head alone before that, 0 for none (default: a fifth)"
    verb.add_argument("--head-epochs", type=int, metavar="E", help=about)
    about = "learning rate of fine-tuning (default 0.0001)"
    verb.add_argument("--fine-tune-rate", type=float, metavar="R", help=about)
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
    about = "reading training.csv against the usual recipe"
    verb = _verb(kinds, "load", commands.bench_load, about, _json, _quiet)
    verb.add_argument("--data", metavar="PATH", help="default: a full-size file of built-in faces")
    verb.add_argument("--rows", type=int, default=7049)
    about = "mixed precision against float32"
    verb = _verb(kinds, "precision", commands.bench_precision, about, _json, _quiet)
    verb.add_argument("name", nargs="?", default="study_model_2", metavar="MODEL")
    verb.add_argument("--batch-size", type=int, default=64)
    about = "training with augmentation against without, and mixes against per-image code"
    verb = _verb(kinds, "augment", commands.bench_augment, about, _json, _quiet)
    verb.add_argument("--model", default="study_model_1", metavar="MODEL")
    verb.add_argument("--mixes", nargs="+", default=["standard", "strong"], metavar="MIX")
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median counts")
    about = "photos to keypoints: photos/s, found and missed faces by detector"
    verb = _verb(kinds, "detect", commands.bench_detect, about, _json, _quiet)
    verb.add_argument("--photos", nargs="+", required=True, metavar="DIR", help="folders of faces")
    verb.add_argument("--detectors", nargs="+", default=["mtcnn", "haar"], metavar="NAME")
    verb.add_argument("--model", default="study_model_1", metavar="MODEL")
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median counts")
    verb.add_argument("--most", type=int, default=64, metavar="N", help="photos of each folder")
    about = "where detectors see the faces of a data set: its crop rule"
    verb = _verb(kinds, "crops", commands.bench_crops, about, _data, _json, _quiet)
    verb.add_argument("--detectors", nargs="+", default=["mtcnn", "haar"], metavar="NAME")
    verb.add_argument("--out", metavar="FILE", help="put the rule into this table (JSON)")


if __name__ == "__main__":
    sys.exit(main())
