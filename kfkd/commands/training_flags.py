"""The flags of kfkd train."""

from __future__ import annotations

import argparse

from kfkd.commands.parts import Parser, with_precision


def add_training_flags(verb: Parser) -> None:
    """Adds what a training can be told."""
    _add_usual(verb)
    _add_rows(verb)
    _add_others(verb)
    _add_backbone(verb)
    verb.add_argument("--out", metavar="DIR", help="run folder; an unfinished one there goes on")
    with_devices(verb)
    with_machines(verb)


def _add_usual(verb: Parser) -> None:
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
    with_precision(verb)
    about = "a mix by name or as text, none, or published (default), see kfkd augment"
    verb.add_argument("--augment", default="published", metavar="MIX", help=about)
    about = "fixed copies of every image for each branch of the mix (default: as published)"
    verb.add_argument("--copies", action=argparse.BooleanOptionalAction, help=about)


def _add_rows(verb: Parser) -> None:
    verb.add_argument("--split-seed", type=int, metavar="N", help="of the split alone")
    about = "hold out fold I, from 0, of K, see kfkd folds"
    verb.add_argument("--fold", nargs=2, type=int, metavar=("I", "K"), help=about)
    about = "an audit.csv of kfkd audit: labels that are not learned"
    verb.add_argument("--suspects", metavar="CSV", help=about)
    verb.add_argument("--drop-incomplete", action="store_true", help="as the study did")


def _add_others(verb: Parser) -> None:
    about = "run whose weights the training begins with, such as pyramid"
    verb.add_argument("--start", metavar="RUN", help=about)
    about = "runs whose answers are learned where a label is missing"
    verb.add_argument("--teachers", nargs="+", metavar="RUN", help=about)
    about = "how much of the labels that are there is the teachers', 0 to 1 (default: 0)"
    verb.add_argument("--teacher-share", type=float, metavar="SHARE", help=about)
    about = "other settings of the recipe, the builder or the codec, such as optimizer=sgd "
    about += "plateau=None width=0.5 codec.sigma=3"
    verb.add_argument("--set", nargs="+", metavar="KEY=VALUE", help=about)


def _add_backbone(verb: Parser) -> None:
    about = "of a pre-trained backbone: a file, or a TF-Hub module's folder, .tar.gz or handle"
    verb.add_argument("--weights", metavar="PATH", help=about)
    about = "let the backbone's last N layers (or all) learn after the head"
    verb.add_argument("--fine-tune", metavar="N", help=about)
    about = "of the head alone before that, 0 for none (default: a fifth)"
    verb.add_argument("--head-epochs", type=int, metavar="E", help=about)
    about = "learning rate of fine-tuning (default 0.0001)"
    verb.add_argument("--fine-tune-rate", type=float, metavar="R", help=about)


def with_machines(verb: Parser) -> None:
    """Adds --machines, --machine, --coordinator."""
    about = "how many machines train together under JAX, or auto: as Slurm and others say; each "
    about += "runs this command, see docs/distributed.md"
    verb.add_argument("--machines", metavar="N", help=about)
    verb.add_argument("--machine", type=int, metavar="I", help="which of them this is, from 0")
    verb.add_argument("--coordinator", metavar="HOST:PORT", help="where machine 0 is reached")


def with_devices(verb: Parser) -> None:
    """Adds --devices."""
    about = "how many devices of this machine share the work, or all (default: one)"
    verb.add_argument("--devices", metavar="N", help=about)
