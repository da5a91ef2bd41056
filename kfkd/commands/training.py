"""kfkd train, resume."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.parts import add_verb, picked, with_data, with_quiet, with_run
from kfkd.commands.training_flags import add_training_flags, with_devices, with_machines
from kfkd.errors import KfkdError
from kfkd.machines.joining import is_first, machines_asked
from kfkd.registry import entry

_PASSED = (
    "subsets",
    "epochs",
    "batch_size",
    "learning_rate",
    "validation",
    "seed",
    "precision",
    "augment",
    "copies",
    "split_seed",
    "fold",
    "suspects",
    "start",
    "teachers",
    "teacher_share",
    "drop_incomplete",
    "out",
    "quiet",
)


def add_training(verbs: Any) -> None:
    """Adds the group's verbs."""
    verb = add_verb(verbs, "train", train, "train a model of the zoo", with_data, with_quiet)
    verb.add_argument("name", metavar="MODEL")
    add_training_flags(verb)
    about, parts = "go on with an unfinished run", (with_run, with_data, with_quiet)
    add_verb(verbs, "resume", resume, about, *parts, with_devices, with_machines)


def train(options: Namespace) -> None:
    """Trains a model."""
    entry(options.name)
    calm_tensorflow()
    from kfkd.learning.key_values import other_settings
    from kfkd.training import train as verb

    settings = picked(options, _PASSED)
    recipe = picked(options, ("early_stopping", "loss"))
    recipe = {key: value for key, value in recipe.items() if value is not None}
    refused = (*settings, *recipe, "data", "weights", "phases", "callbacks")
    other = other_settings([options.name], options.set or (), refused, "train")
    builder = other.pop("options", {})
    if options.weights:
        builder["weights"] = options.weights
    recipe |= _fine_tuning(options)
    settings |= {"devices": _count(options.devices), "machines": _machines(options)}
    run = verb(options.name, options.data, options=builder, **settings, **recipe, **other)
    if is_first():
        _print_run(run)


def resume(options: Namespace) -> None:
    """Goes on with a run."""
    calm_tensorflow()
    from kfkd.training import resume as verb

    given = (options.folder, options.data, options.quiet, _count(options.devices))
    run = verb(*given, machines=_machines(options))
    if is_first():
        _print_run(run)


def _count(devices: str | None) -> int | str | None:
    return int(devices) if devices and devices.isdigit() else devices


def _machines(options: Namespace) -> Any:
    return machines_asked(options.machines, options.machine, options.coordinator)


def _fine_tuning(options: Namespace) -> dict[str, Any]:
    from kfkd.learning.fine_tuning import fine_tuning

    if options.fine_tune is None:
        if (options.head_epochs, options.fine_tune_rate) != (None, None):
            raise KfkdError("--head-epochs and --fine-tune-rate want --fine-tune")
        return {}
    epochs = entry(options.name).recipe.epochs if options.epochs is None else options.epochs
    found = (options.fine_tune, options.head_epochs, options.fine_tune_rate)
    return {"phases": fine_tuning(epochs, *found)}


def _print_run(run: Any) -> None:
    rows = [
        f"{name}: {score:.3f} px (mean face {mean:.2f})"
        for name, score in run.metrics["model"].items()
        if None not in (score, mean := run.metrics["mean_face"].get(name))
    ]
    print("\n".join([str(run.folder), *rows]))
