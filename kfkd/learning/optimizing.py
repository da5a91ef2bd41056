"""Optimisers as recipes ask for them: schedule, weight decay, running mean of the weights."""

from __future__ import annotations

from typing import Any

import keras

from kfkd.registry import Recipe

SCHEDULES = ("cosine",)

_WARM = 0.05
_NOT_DECAYED = ["bias", "gamma", "beta"]


def optimizer_for(
    recipe: Recipe, learning_rate: float | None, steps: int
) -> keras.optimizers.Optimizer:
    """The optimiser of one phase of a training.

    Args:
        recipe: names it.
        learning_rate: the phase's; None = the recipe's.
        steps: the phase's, over which a schedule runs.
    """
    optimizer = keras.optimizers.get(recipe.optimizer)
    settings: dict[str, Any] = {"learning_rate": _rate(recipe, learning_rate, steps)}
    if recipe.weight_decay is not None:
        settings["weight_decay"] = recipe.weight_decay
    if recipe.ema is not None:
        settings |= {"use_ema": True, "ema_momentum": recipe.ema}
    optimizer = type(optimizer)(**settings)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer


def _rate(recipe: Recipe, learning_rate: float | None, steps: int) -> Any:
    rate = learning_rate or recipe.learning_rate
    if recipe.schedule is None:
        return rate
    length = max(1, steps / (recipe.cycles or 1))
    warm = max(1, round(_WARM * length))
    one = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, length - warm), warmup_target=rate, warmup_steps=warm
    )
    return one if recipe.cycles in (None, 1) else Cycles(one, length)


class Cycles(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that begins anew whenever it has come to its end.

    Args:
        one: the schedule of one cycle.
        steps: how long a cycle is; need not be a whole number.
    """

    def __init__(self, one: keras.optimizers.schedules.LearningRateSchedule, steps: float) -> None:
        self.one, self.steps = one, steps

    def __call__(self, step: Any) -> Any:
        """The rate at a step of the whole training."""
        return self.one(keras.ops.mod(keras.ops.cast(step, "float32"), self.steps))


def watchers_for(recipe: Recipe, monitor: str) -> list[keras.callbacks.Callback]:
    """The callbacks that a recipe asks for.

    Args:
        recipe: with early stopping, plateau and running mean.
        monitor: the RMSE that they watch, by its name in the logs.
    """
    watchers: list[keras.callbacks.Callback] = []
    if recipe.ema is not None:
        watchers.append(keras.callbacks.SwapEMAWeights())
    if recipe.early_stopping is not None or recipe.restore_best:
        patience = recipe.epochs if recipe.early_stopping is None else recipe.early_stopping
        watchers.append(
            keras.callbacks.EarlyStopping(
                monitor, mode="min", patience=patience, restore_best_weights=recipe.restore_best
            )
        )
    if recipe.plateau is not None:
        watchers.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor,
                mode="min",
                factor=recipe.plateau.factor,
                patience=recipe.plateau.patience,
                min_lr=recipe.plateau.min_learning_rate,
            )
        )
    return watchers
