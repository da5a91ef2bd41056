"""Settings of a training that make no sense are refused, before anything is written."""

from __future__ import annotations

import json
from typing import Any

from kfkd.errors import KfkdError, UnknownName
from kfkd.heatmaps import Heatmap
from kfkd.learning.settings import PRECISIONS, Settings
from kfkd.models.heads import check_codec
from kfkd.registry import Phase, Plateau, Recipe, entry
from kfkd.views import Views

_MOST_EPOCHS = 100_000


def check(settings: Settings) -> None:
    """Refuses settings that make no sense.

    Raises:
        KfkdError: naming the setting, what was received and what was wanted.
    """
    from kfkd.losses import loss_called, numbered
    from kfkd.map_losses import MAP_LOSSES

    recipe = settings.recipe
    _check_recipe(recipe)
    _check_numbers(settings)
    _check_teachers(settings)
    try:
        json.dumps(settings.options)
    except TypeError as error:
        raise KfkdError(f"options want numbers and texts only: {error}") from error
    if settings.precision not in PRECISIONS:
        raise UnknownName("precision", settings.precision, list(PRECISIONS))
    loss_called(recipe.loss)
    found = entry(settings.model)
    check_codec(found, settings.coded_by, found.input_shape)
    if numbered(recipe.loss)[0] in MAP_LOSSES:
        _check_map_loss(settings)
    _check_together(recipe)
    if recipe.optimizer.lower() not in _optimizers():
        raise UnknownName("optimizer", recipe.optimizer, _optimizers())


def _check_recipe(recipe: Recipe) -> None:
    """Refuses fields of a recipe that are not of their kind."""
    from kfkd.learning.optimizing import SCHEDULES

    whole, real = _is_whole, _is_real
    wanted = {
        "epochs": (whole(recipe.epochs, 1), "a whole number from 1"),
        "batch_size": (whole(recipe.batch_size, 1), "a whole number from 1"),
        "learning_rate": (real(recipe.learning_rate, 1e-30), "a number above 0"),
        "validation": (real(recipe.validation, 0) and recipe.validation < 1, "a share in [0, 1)"),
        "early_stopping": (
            recipe.early_stopping is None or whole(recipe.early_stopping, 0),
            "a whole number from 0, or None",
        ),
        "copies": (isinstance(recipe.copies, bool), "True or False"),
        "phases": (_are_phases(recipe.phases), "a tuple of kfkd.registry.Phase"),
        "plateau": (_is_plateau(recipe.plateau), "a kfkd.registry.Plateau, or None"),
        "optimizer": (isinstance(recipe.optimizer, str), "the name of a Keras optimiser"),
        "loss": (isinstance(recipe.loss, str), "the name of a loss"),
        "schedule": (recipe.schedule in (None, *SCHEDULES), f"{' or '.join(SCHEDULES)}, or None"),
        "weight_decay": (
            recipe.weight_decay is None or _is_real(recipe.weight_decay, 0),
            "a number from 0, or None",
        ),
        "cycles": (
            recipe.cycles is None or whole(recipe.cycles, 1),
            "a whole number from 1, or None",
        ),
        "ema": (recipe.ema is None or _is_share(recipe.ema), "a momentum in (0, 1), or None"),
        "views": (isinstance(recipe.views, Views), "kfkd.views.Views"),
        "centre_labels": (isinstance(recipe.centre_labels, bool), "True or False"),
        "second_look": (isinstance(recipe.second_look, bool), "True or False"),
        "linear_correction": (isinstance(recipe.linear_correction, bool), "True or False"),
        "smooth_correction": (isinstance(recipe.smooth_correction, bool), "True or False"),
    }
    for key, (fits, what) in wanted.items():
        if not fits:
            raise KfkdError(f"{key} wants {what}. Received: {getattr(recipe, key)!r}")
    if recipe.epochs > _MOST_EPOCHS:
        raise KfkdError(f"epochs go up to {_MOST_EPOCHS:,}. Received: {recipe.epochs}")


def _check_numbers(settings: Settings) -> None:
    """Refuses seeds and folds that are none."""
    for key, value in (("seed", settings.seed), ("split_seed", settings.split_by)):
        if not _is_whole(value, 0) or value >= 2**31:
            raise KfkdError(f"{key} wants a whole number from 0 to 2147483647. Received: {value!r}")
    if settings.fold is not None and not _is_fold(settings.fold):
        asked = "fold wants (i, k), k folds from 2 of which i is one, from 0"
        raise KfkdError(f"{asked}. Received: {settings.fold!r}")


def _check_map_loss(settings: Settings) -> None:
    """Refuses losses on heatmaps where there are none, or where they are too high."""
    loss, codec = settings.recipe.loss, settings.coded_by
    if not isinstance(codec, Heatmap):
        raise KfkdError(
            f"the loss {loss} wants a model that answers with heatmaps. "
            f"Received: {settings.model}, whose codec is {codec.config()['codec']}"
        )
    # The power 2.1 − target of the adaptive wing loss has to stay above 1 for finite gradients.
    if loss == "adaptive_wing" and codec.height > 1:
        raise KfkdError(f"the loss {loss} wants heatmaps of height 1 at most. Received: {codec!r}")


def _check_teachers(settings: Settings) -> None:
    share = settings.teacher_share
    if settings.teachers is not None and not settings.teachers:
        raise KfkdError("teachers want a run at least, or None")
    if share is not None and not (_is_real(share, 0) and share <= 1):
        raise KfkdError(f"teacher_share wants a number from 0 to 1. Received: {share!r}")
    if share is not None and settings.teachers is None:
        raise KfkdError("teacher_share wants teachers")


def _check_together(recipe: Recipe) -> None:
    """Refuses what makes no sense beside each other."""
    if recipe.schedule and recipe.plateau:
        raise KfkdError("a schedule leaves no rate for a plateau to lower: set one of them to None")
    if recipe.cycles is not None and recipe.schedule is None:
        raise KfkdError(
            "cycles want a schedule that begins anew, such as schedule=cosine. Received: "
            f"cycles={recipe.cycles}, schedule=None"
        )
    if recipe.ema is not None and (recipe.restore_best or recipe.early_stopping is not None):
        raise KfkdError(
            "ema keeps the mean of the last weights, restore_best and early_stopping the best: set "
            "one of them to None"
        )


def _is_share(value: Any) -> bool:
    return _is_real(value, 0) and 0 < value < 1


def _are_phases(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(phase, Phase)
        and _is_whole(phase.epochs, 1)
        and (phase.unfreeze is None or _is_whole(phase.unfreeze, 0))
        and (phase.learning_rate is None or _is_real(phase.learning_rate, 1e-30))
        for phase in value
    )


def _is_plateau(value: Any) -> bool:
    if value is None or not isinstance(value, Plateau):
        return value is None
    least = _is_real(value.min_learning_rate, 0)
    return _is_share(value.factor) and _is_whole(value.patience, 0) and least


def _is_fold(value: Any) -> bool:
    whole = isinstance(value, tuple) and len(value) == 2 and all(_is_whole(v, 0) for v in value)
    return whole and value[0] < value[1] and value[1] >= 2


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_real(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


def _optimizers() -> list[str]:
    """Names of Keras' optimisers; none is made, that would be TensorFlow's first operation."""
    import keras

    kinds = {name: kind for name, kind in vars(keras.optimizers).items() if isinstance(kind, type)}
    return [name.lower() for name, kind in kinds.items() if kind is not keras.Optimizer]
