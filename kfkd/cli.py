"""The command line: the package's verbs with flags."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kfkd import __version__, commands
from kfkd.errors import KfkdError
from kfkd.folds.flags import FLAGS
from kfkd.machines.joining import leave

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
        return leave(_fail(str(error), 2))
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        return leave(_fail("; ".join(filter(None, ("stopped", _go_on(options)))), 130))
    return 0


_AGAIN = "run the same command again to go on"
_GO_ON = {
    commands.compare: _AGAIN,
    commands.tune: _AGAIN,
    commands.folds: _AGAIN,
}


def _go_on(options: argparse.Namespace) -> str:
    """How what was interrupted goes on; "" where it begins anew."""
    if options.run not in (commands.train, commands.resume):
        return _GO_ON.get(options.run, "")
    given = vars(options)
    if given.get("machines") or os.environ.get("KFKD_MACHINES"):
        return "start the same command on all machines again: it goes on from the last whole epoch"
    words = ["kfkd", "resume", given.get("folder") or given.get("out") or "RUN"]
    words += ["--devices", options.devices] if options.devices else []
    return f"it goes on with: {shlex.join(words)}"


_MOST_WORDS = 3000  # of a message; files from anyone may be quoted in it


def _fail(message: str, code: int) -> int:
    told = " ".join(message.split())[:_MOST_WORDS]
    # A file's content, quoted in a message, must not steer the terminal.
    print("kfkd: " + "".join(c if c.isprintable() else "?" for c in told), file=sys.stderr)
    return code


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser("kfkd", description="Facial keypoints with Keras: a model zoo, honestly scored.")
    top.add_argument("--version", action="version", version=f"kfkd {__version__}")
    verbs = top.add_subparsers(metavar="COMMAND", required=True)
    _add_zoo(verbs)
    _add_runs(verbs)
    _add_seeing(verbs)
    _add_detect(verbs)
    _add_augment(verbs)
    _add_compare(verbs)
    _add_tune(verbs)
    _add_folds(verbs)
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
    verb = _verb(verbs, "record", commands.record, about, _quiet)
    verb.add_argument("runs", nargs="*", metavar="RUN")
    verb.add_argument("--table", default="models/results.json", metavar="FILE")
    about, default = "of runs on photos", "models/landmark_results.json"
    verb.add_argument("--landmark-table", default=default, metavar="FILE", help=about)
    verb.add_argument("--readme", metavar="FILE", help="renew the tables of scores in this file")
    about = "renew the whole table of scores on photos in this file"
    verb.add_argument("--landmark-page", metavar="FILE", help=about)


def _add_runs(verbs: Any) -> None:
    verb = _verb(verbs, "train", commands.train, "train a model of the zoo", _data, _quiet)
    _train_options(verb)
    about = "go on with an unfinished run"
    _verb(verbs, "resume", commands.resume, about, _run, _data, _quiet, _devices, _machines)
    verb = _verb(verbs, "evaluate", commands.evaluate, "score a run", _run, _data, _json, _quiet)
    verb.add_argument("--all", action="store_true", help="every row, not only the held-out ones")
    _add_reports(verbs)
    about = "write keypoints as a table"
    verb = _verb(verbs, "predict", commands.predict, about, _run, _data, _quiet)
    verb.add_argument("--part", choices=("train", "test"), default="test")
    verb.add_argument("--out", default="predictions.csv", metavar="CSV")
    about = "a row a face (table), or Id,Predicted, a row a number, for CS194-26's competition"
    verb.add_argument("--format", choices=("table", "course"), default="table", help=about)
    about = "more columns of the table: how probably each keypoint is right, where the run can tell"
    verb.add_argument("--confidence", action="store_true", help=about)
    about = "a small copy of a run, with a card, to hand on"
    verb = _verb(verbs, "pack", commands.pack, about, _run)
    verb.add_argument("--out", required=True, metavar="DIR")
    verb.add_argument("--name", help="what its card calls it (default: the model's name)")
    about = "of a run that learned all rows: the same training with some held out"
    verb.add_argument("--measured-by", metavar="RUN", help=about)
    _add_export(verbs)
    about = "the runs that come with the package, best first, and their scores"
    _verb(verbs, "pretrained", commands.pretrained, about, _json)


def _add_export(verbs: Any) -> None:
    about = "write a run as one model for ONNX Runtime, LiteRT or TensorFlow"
    verb = _verb(verbs, "export", commands.export, about, _run, _views, _quiet)
    formats = ("onnx", "litert", "saved_model")
    verb.add_argument("--to", choices=formats, default="onnx", help="default: onnx")
    about = "file or folder (default: RUN's name with .onnx, .tflite or _saved_model)"
    verb.add_argument("--out", metavar="PATH", help=about)
    about = "as which of Kaggle's label sources it answers, where it knows both (default: full)"
    verb.add_argument("--source", choices=("full", "four_point"), help=about)
    about = "faces that it is tried on, as for predict (default: built-in)"
    verb.add_argument("--data", metavar="PATH", help=about)


def _views(verb: Parser) -> None:
    about = "without mirrored and zoomed views: faster, a little worse"
    verb.add_argument("--no-views", dest="views", action="store_false", help=about)


def _add_reports(verbs: Any) -> None:
    about = "where a run errs: tables and pictures by keypoint, source and property of the faces"
    verb = _verb(verbs, "analyse", commands.analyse, about, _data, _json, _quiet)
    about = "one, or several that answer as one by their mean, or a folder of kfkd folds"
    verb.add_argument("runs", nargs="+", metavar="RUN", help=about)
    verb.add_argument("--all", action="store_true", help="every row, not only the held-out ones")
    about = "of the worst images (default 40)"
    verb.add_argument("--worst", type=int, default=40, metavar="N", help=about)
    about = "write what the run's doubt is worth into its run.json, as new trainings do"
    verb.add_argument("--calibrate", action="store_true", help=about)
    verb.add_argument("--out", default="kfkd-analyse", metavar="DIR")
    about = "one table of runs: what each changed, what it cost, and its scores"
    verb = _verb(verbs, "ladder", commands.ladder, about, _data, _json, _quiet, _row_numbers)
    verb.add_argument("runs", nargs="*", metavar="RUN")
    about = "a second figure without these rows of the data: numbers from 1, or files of them"
    verb.add_argument("--clean", nargs="+", default=(), metavar="ROW", help=about)
    about = "add the runs to the JSON file of an earlier ladder (made where it is absent)"
    verb.add_argument("--add-to", metavar="JSON", help=about)
    verb.add_argument("--sort", metavar="SCORE", help="such as kaggle_rmse, full, params, minutes")
    about = "write the table there; without --add-to its figures go beside it as .json"
    verb.add_argument("--out", metavar="FILE.md", help=about)


def _add_seeing(verbs: Any) -> None:
    about = "draw the filters of a run's first convolution"
    verb = _verb(verbs, "filters", commands.filters, about, _run, _json)
    verb.add_argument("--out", default="kfkd-filters", metavar="DIR")
    about = "draw what layers of a run make of an image"
    verb = _verb(verbs, "features", commands.features, about, _run, _data, _json, _quiet)
    about = "an image file, its biggest face counts, or the number of a row of --data"
    verb.add_argument("image", nargs="?", metavar="IMAGE", help=about)
    about = "default: the first, middle and last convolutional stage's outputs"
    verb.add_argument("--layers", nargs="+", metavar="NAME", help=about)
    verb.add_argument("--list", action="store_true", help="print the layers and what they give")
    about = "mtcnn (default), haar or yunet, for photos"
    verb.add_argument("--detector", default="mtcnn", metavar="NAME", help=about)
    verb.add_argument("--out", default="kfkd-features", metavar="DIR")


def _add_detect(verbs: Any) -> None:
    about = "find faces and keypoints in photos, a video or a camera"
    verb = _verb(verbs, "detect", commands.detect, about, _json, _quiet)
    about = "a run, where it shall not be the best one that comes with the package; then image "
    verb.add_argument("inputs", nargs="*", metavar="[RUN] PHOTO", help=about + "files and folders")
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
    about = "a data set of photos, such as ibug:DIR, whose boxes say where faces are"
    verb.add_argument("--boxes", metavar="DATA", help=about)
    about = "turn faces by their predicted eyes N times, for detectors without eyes"
    verb.add_argument("--refine", type=int, default=0, metavar="N", help=about)
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="photos at a time")


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
    about = "of the split that all trainings share"
    verb.add_argument("--split-seed", type=int, default=0, metavar="N", help=about)
    verb.add_argument("--epochs", type=int)
    verb.add_argument("--batch-size", type=int)
    verb.add_argument("--learning-rate", type=float)
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


def _add_tune(verbs: Any) -> None:
    about = "search good settings of a model with Keras Tuner"
    verb = _verb(verbs, "tune", commands.tune, about, _data, _json, _quiet)
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
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument("--list", action="store_true", help="print what would be varied, and stop")
    about = "an unfinished search there goes on (default: kfkd-tune/MODEL-TUNER)"
    verb.add_argument("--out", metavar="DIR", help=about)


def _add_folds(verbs: Any) -> None:
    about = "train models by cross-validation; keeps their out-of-fold predictions"
    verb = _verb(verbs, "folds", commands.folds, about, _data, _json, _quiet, _without)
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
    about = "compare ways to combine cross-validated models"
    verb = _verb(verbs, "ensemble", commands.ensemble, about, _json, _quiet, _without)
    verb.add_argument("folds", nargs="+", metavar="FOLDS", help="folders of kfkd folds")
    about = "mean, median, weighted, stack (these four by default), ridge, elastic_net, boosting"
    verb.add_argument("--how", nargs="+", metavar="HOW", help=about)
    verb.add_argument("--strict", action="store_true", help="refuse broken members")
    about = "table.md, results.json and an .npz for each, for kfkd submit --ensemble"
    verb.add_argument("--out", metavar="DIR", help=about)
    about = "find rows whose labels are probably wrong"
    verb = _verb(verbs, "audit", commands.audit, about, _data, _json, _quiet)
    about = "folders of kfkd folds (default: duplicates and geometry alone)"
    verb.add_argument("folds", nargs="*", metavar="FOLDS", help=about)
    about = "rows known to be bad, numbers or files of them: says how many are found"
    verb.add_argument("--known", nargs="+", metavar="ROW", help=about)
    _row_numbers(verb)
    verb.add_argument("--sheet", type=int, default=48, metavar="N", help="faces on suspects.png")
    verb.add_argument("--out", default="kfkd-audit", metavar="DIR")


def _without(verb: Parser) -> None:
    about = "rows that the clean figures leave out, numbers or files of them"
    verb.add_argument("--without", nargs="+", default=(), metavar="ROW", help=about)
    _row_numbers(verb)


def _row_numbers(verb: Parser) -> None:
    about = "a table of row and kaggle_row, where rows are named as in another file"
    verb.add_argument("--row-numbers", metavar="CSV", help=about)


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
    verb.add_argument("--loss", metavar="LOSS", help=f"{', '.join(losses)}; huber(2) and so on")
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
    about = "hold out fold I, from 0, of K, see kfkd folds"
    verb.add_argument("--fold", nargs=2, type=int, metavar=("I", "K"), help=about)
    about = "an audit.csv of kfkd audit: labels that are not learned"
    verb.add_argument("--suspects", metavar="CSV", help=about)
    verb.add_argument("--drop-incomplete", action="store_true", help="as the study did")
    about = "run whose weights the training begins with, such as pyramid"
    verb.add_argument("--start", metavar="RUN", help=about)
    about = "runs whose answers are learned where a label is missing"
    verb.add_argument("--teachers", nargs="+", metavar="RUN", help=about)
    about = "how much of the labels that are there is the teachers', 0 to 1 (default: 0)"
    verb.add_argument("--teacher-share", type=float, metavar="SHARE", help=about)
    about = "other settings of the recipe, the builder or the codec, such as optimizer=sgd "
    about += "plateau=None width=0.5 codec.sigma=3"
    verb.add_argument("--set", nargs="+", metavar="KEY=VALUE", help=about)
    about = "of a pre-trained backbone: a file, or a TF-Hub module's folder, .tar.gz or handle"
    verb.add_argument("--weights", metavar="PATH", help=about)
    about = "let the backbone's last N layers (or all) learn after the head"
    verb.add_argument("--fine-tune", metavar="N", help=about)
    about = "of the head alone before that, 0 for none (default: a fifth)"
    verb.add_argument("--head-epochs", type=int, metavar="E", help=about)
    about = "learning rate of fine-tuning (default 0.0001)"
    verb.add_argument("--fine-tune-rate", type=float, metavar="R", help=about)
    verb.add_argument("--out", metavar="DIR", help="run folder; an unfinished one there goes on")
    _devices(verb)
    _machines(verb)


def _machines(verb: Parser) -> None:
    about = "how many machines train together under JAX, or auto: as Slurm and others say; each "
    about += "runs this command, see docs/distributed.md"
    verb.add_argument("--machines", metavar="N", help=about)
    verb.add_argument("--machine", type=int, metavar="I", help="which of them this is, from 0")
    verb.add_argument("--coordinator", metavar="HOST:PORT", help="where machine 0 is reached")


def _devices(verb: Parser) -> None:
    about = "how many devices of this machine share the work, or all (default: one)"
    verb.add_argument("--devices", metavar="N", help=about)


def _submit_options(verb: Parser) -> None:
    verb.add_argument("runs", nargs="+", metavar="RUN", help="runs, and folders of kfkd folds")
    about = "mean (default), median, weighted; fitted on folds: weighted, stack, ridge, "
    about += "elastic_net, boosting; or an .npz of kfkd ensemble"
    verb.add_argument("--ensemble", default="mean", metavar="HOW", help=about)
    verb.add_argument("--weights", nargs="+", type=float, help="a number a run, for weighted")
    about = "average only what lowers the out-of-fold error (default: where all are folds)"
    verb.add_argument("--select", action=argparse.BooleanOptionalAction, help=about)
    verb.add_argument("--strict", action="store_true", help="refuse broken members")
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
    about = "training steps with fused batch normalisation against Keras' own"
    verb = _verb(kinds, "norms", commands.bench_norms, about, _json, _quiet)
    verb.add_argument("name", nargs="?", default="study_model_1", metavar="MODEL")
    verb.add_argument("--batch-size", type=int, default=64)
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    about = "training: the input pipeline's share, the share of the device's rate, images/s"
    verb = _verb(kinds, "train", commands.bench_train, about, _json, _quiet)
    verb.add_argument("name", nargs="?", default="study_model_1", metavar="MODEL")
    verb.add_argument("--subset", help="which of its models (default: the first)")
    verb.add_argument("--batch-size", type=int, help="default: the model's")
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument("--augment", default="published", metavar="MIX", help="as for train")
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median counts")
    about = "timed steps of a round (default: three seconds' worth)"
    verb.add_argument("--steps", type=int, metavar="N", help=about)
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
    about = (
        "a run, or an entry of the zoo with random weights (default: pyramid, as it comes along)"
    )
    verb.add_argument("--model", default="pyramid", metavar="RUN", help=about)
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median counts")
    verb.add_argument("--most", type=int, default=64, metavar="N", help="photos of each folder")
    about = "training on images as they are and cropped by a face detector"
    verb = _verb(kinds, "box", commands.bench_box, about, _data, _json, _quiet)
    verb.add_argument("--model", default="baseline", metavar="MODEL")
    verb.add_argument("--detector", default="haar", metavar="NAME")
    verb.add_argument("--margin", type=float, default=0.1, metavar="SHARE", help="around the box")
    verb.add_argument("--epochs", type=int, help="at the most")
    verb.add_argument("--augment", default="published", metavar="MIX", help="as for train")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    verb.add_argument("--out", default="kfkd-box", metavar="DIR", help="of runs and box.json")
    about = "keypoints of photos by detectors' boxes against the data set's"
    verb = _verb(kinds, "boxes", commands.bench_boxes, about, _run, _json, _quiet)
    verb.add_argument("--detectors", nargs="+", default=["mtcnn", "haar"], metavar="NAME")
    verb.add_argument("--most", type=int, metavar="N", help="held-out images")
    about = "one face at a time on one core: Keras against exported models"
    verb = _verb(kinds, "export", commands.bench_export, about, _run, _views, _json, _quiet)
    verb.add_argument("--formats", nargs="+", choices=("onnx", "litert", "saved_model"))
    verb.add_argument("--rounds", type=int, default=7, metavar="N", help="the median counts")
    about = "where detectors see the faces of a data set: its crop rule"
    verb = _verb(kinds, "crops", commands.bench_crops, about, _data, _json, _quiet)
    verb.add_argument("--detectors", nargs="+", default=["mtcnn", "haar"], metavar="NAME")
    verb.add_argument("--out", metavar="FILE", help="put the rule into this table (JSON)")


if __name__ == "__main__":
    sys.exit(main())
