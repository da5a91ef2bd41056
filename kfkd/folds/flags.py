"""The settings of trainings that `kfkd folds` has flags for: what `--set` is for all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FLAGS: Mapping[str, Mapping[str, Any]] = {
    "subsets": {"nargs": "+", "metavar": "SUBSET", "help": "as for train"},
    "epochs": {"type": int},
    "batch_size": {"type": int},
    "learning_rate": {"type": float},
    "validation": {"type": float, "metavar": "SHARE"},
    "loss": {"metavar": "LOSS", "help": "as for train"},
    "precision": {"choices": ("float32", "mixed_bfloat16", "mixed_float16")},
    "augment": {"metavar": "MIX", "help": "as for train"},
    "suspects": {"metavar": "CSV", "help": "as for train"},
    "start": {
        "metavar": "RUN",
        "help": "as for train, or a folder of such folds, whose nets are trained on",
    },
}
"""By the setting's name, what its flag is to `argparse`."""
