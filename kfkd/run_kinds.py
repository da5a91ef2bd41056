"""Of what kind every part of a run.json is, as trainings write it and verbs expect it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfkd.storage.kinds import MAYBE, NONE, NUMBER, Numbers, Rows

WANTED: Mapping[str, tuple[str, ...]] = {
    "": ("model", "status", "skeleton", "settings", "data", "split", "subsets"),
    "settings": ("model", "subsets", "recipe", "seed"),
    "data": ("origin", "path", "fingerprint"),
}
WANTED_FINISHED: Mapping[str, tuple[str, ...]] = {
    "": ("mean_face", "metrics"),
    "split": ("seed", "share"),
}

KINDS: Mapping[str, Mapping[str, Any] | Numbers] = {
    "": {
        **dict.fromkeys(("model", "status", "skeleton", "created", "backend"), str),
        **dict.fromkeys(("settings", "data", "split", "subsets", "machine", "versions"), dict),
        **dict.fromkeys(("mean_face", "metrics"), dict),
        "measured_by": Numbers((int,)),
        "lineage": list,
    },
    "settings": {
        "model": str,
        "precision": str,
        "subsets": list,
        "recipe": dict,
        "seed": int,
        "options": (dict, NONE),
        "split_seed": (int, NONE),
        "drop_incomplete": bool,
        "fold": (list, NONE),
        "codec": (dict, NONE),
        **dict.fromkeys(("mix", "augment", "suspects", "start"), (str, NONE)),
        "teachers": (list, NONE),
        "teacher_share": MAYBE,
    },
    "settings.recipe": {
        **dict.fromkeys(("loss", "optimizer"), str),
        **dict.fromkeys(("augment", "schedule"), (str, NONE)),
        **dict.fromkeys(("epochs", "batch_size"), int),
        **dict.fromkeys(("learning_rate", "validation"), NUMBER),
        **dict.fromkeys(("weight_decay", "ema", "early_stopping"), MAYBE),
        "cycles": (int, NONE),
        **dict.fromkeys(("restore_best", "copies", "centre_labels", "second_look"), bool),
        "linear_correction": bool,
        "smooth_correction": bool,
        "plateau": (dict, NONE),
        "phases": list,
        "views": dict,
    },
    "data": {
        **dict.fromkeys(("origin", "path", "fingerprint"), str),
        "image": list,
        "rows": int,
        "sources": Numbers((int,)),
    },
    "split": {
        **dict.fromkeys(("seed", "train", "validation", "watched"), int),
        "share": NUMBER,
        "fold": (list, NONE),
    },
    "machine": {**dict.fromkeys(("cpu", "system", "accelerator"), str), "cores": (int, NONE)},
    "versions": Numbers((str, NONE)),
    "metrics": {
        **dict.fromkeys(("model", "mean_face", "mean_per_source"), Numbers(MAYBE)),
        **dict.fromkeys(("images", "values"), int),
        "on": str,
        "keypoints": dict,
        "worst": Rows(NUMBER),
        **dict.fromkeys(("landmarks", "doubt"), (dict, NONE)),
    },
}
PHASE: Mapping[str, Any] = {"epochs": int, "unfreeze": (int, NONE), "learning_rate": MAYBE}
STAGE: Mapping[str, Any] = {
    **dict.fromkeys(("command", "data"), str),
    "epochs": Numbers((int,)),
    "minutes": NUMBER,
}
STAGE_WANTED = ("command", "epochs", "minutes")
PLATEAU: Mapping[str, Any] = {"factor": NUMBER, "patience": int, "min_learning_rate": NUMBER}
SUBSET: Mapping[str, Any] = {
    **dict.fromkeys(("params", "epochs", "epochs_before", "train_rows", "validation_rows"), int),
    **dict.fromkeys(("best_epoch", "best_val_rmse", "mean_face"), MAYBE),
    **dict.fromkeys(("seconds", "images_per_second"), NUMBER),
    "by_source": bool,
    "second_look": bool,
    "label_offset": Rows(NUMBER),
    "linear_correction": list,
    "smooth_correction": list,
}
