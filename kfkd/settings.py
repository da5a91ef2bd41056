"""What a training was asked for: the entry's recipe with the caller's changes, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kfkd.errors import KfkdError, UnknownName
from kfkd.registry import Entry, Phase, Plateau, Recipe

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Settings:
    """What a training was asked for; equal settings on equal data give equal results.

    Args:
        model: zoo entry.
        subsets: keypoint subsets, a model each.
        recipe: loss, optimiser, rates, epochs and so on.
        seed: of split, initialisation, order and augmentation.
        precision: Keras dtype policy.
        drop_incomplete: leave out training rows that miss a label of the subset.
        augment: name of the augmentation.
        options: for the builder.
    """

    model: str
    subsets: tuple[str, ...]
    recipe: Recipe
    seed: int
    precision: str
    drop_incomplete: bool
    augment: str | None
    options: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """The settings as they stand in run.json."""
        return json.loads(json.dumps(asdict(self)))


def changed_recipe(found: Entry, changed: Mapping[str, Any]) -> Recipe:
    """The entry's recipe with the given fields changed.

    Raises:
        UnknownName: when a recipe has no such field.
    """
    known = set(Recipe.__dataclass_fields__)
    for key in changed:
        if key not in known:
            raise UnknownName("setting of a training", key, sorted(known))
    # The published mix is a name until the caller hands in an augmentation.
    return replace(found.recipe, **{"augment": None, **changed})


def check(settings: Settings) -> None:
    """Refuses settings that make no sense, before anything is written.

    Raises:
        KfkdError: naming the setting, what was received and what was wanted.
    """
    from kfkd.losses import LOSSES

    recipe = settings.recipe
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
        "plateau": (isinstance(recipe.plateau, Plateau | None), "a kfkd.registry.Plateau, or None"),
        "optimizer": (isinstance(recipe.optimizer, str), "the name of a Keras optimiser"),
    }
    for key, (fits, what) in wanted.items():
        if not fits:
            raise KfkdError(f"{key} wants {what}. Received: {getattr(recipe, key)!r}")
    if not whole(settings.seed, 0) or settings.seed >= 2**31:
        raise KfkdError(
            f"seed wants a whole number from 0 to 2147483647. Received: {settings.seed!r}"
        )
    try:
        json.dumps(settings.options)
    except TypeError as error:
        raise KfkdError(f"options want numbers and texts only: {error}") from error
    if settings.precision not in PRECISIONS:
        raise UnknownName("precision", settings.precision, list(PRECISIONS))
    if recipe.loss not in LOSSES:
        raise UnknownName("loss", recipe.loss, list(LOSSES))
    if recipe.optimizer.lower() not in _optimizers():
        raise UnknownName("optimizer", recipe.optimizer, _optimizers())


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_real(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


def _optimizers() -> list[str]:
    """Names of Keras' optimisers; none is made, that would be TensorFlow's first operation."""
    import keras

    kinds = {name: kind for name, kind in vars(keras.optimizers).items() if isinstance(kind, type)}
    return [name.lower() for name, kind in kinds.items() if kind is not keras.Optimizer]


def saved_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields, as `train` takes them, from their form in run.json."""
    if recipe.get("plateau"):
        recipe["plateau"] = Plateau(**recipe["plateau"])
    recipe["phases"] = tuple(Phase(**phase) for phase in recipe.get("phases", ()))
    recipe["augment"] = None
    return recipe
