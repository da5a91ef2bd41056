"""What a training was asked for: the entry's recipe with the caller's changes, checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kfkd.augment import Mix, mix
from kfkd.codecs import Codec, changed_codec
from kfkd.errors import KfkdError, UnknownName
from kfkd.heatmaps import Heatmap
from kfkd.models.heads import check_codec
from kfkd.registry import Entry, Phase, Plateau, Recipe, entry
from kfkd.text import shown_path
from kfkd.views import Views, views_from

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

_MOST_EPOCHS = 100_000
UNUSED: Mapping[str, Any] = {
    "cycles": None,
    **dict.fromkeys(("centre_labels", "second_look", "linear_correction"), False),
}
"""Fields of a recipe that run.json leaves out where they have this value."""
_OPTIONAL = ("fold", "suspects", "codec", "start", "teachers", "teacher_share")


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
        augment: name of an augmentation of the user's own; a mix stands in the recipe.
        options: for the builder.
        mix: the recipe's mix as text, so that a run knows it whatever names come to mean.
        split_seed: of the split alone; None = `seed`.
        fold: (i, k), the fold of a cross-validation that is held out; None = the recipe's share.
        suspects: labels that are not learned, see `kfkd.suspects`; None = all are.
        codec: changed settings of the entry's codec, see `kfkd.codecs.changed_codec`; None = its
            own.
        start: folder or name of the run whose weights it begins with; None = random ones.
        teachers: folders or names of runs whose answers fill in missing labels; None = none.
        teacher_share: how much of the other labels is theirs; None = nothing.
    """

    model: str
    subsets: tuple[str, ...]
    recipe: Recipe
    seed: int
    precision: str
    drop_incomplete: bool
    augment: str | None
    options: dict[str, Any]
    mix: str | None = None
    split_seed: int | None = None
    fold: tuple[int, int] | None = None
    suspects: str | None = None
    codec: dict[str, Any] | None = None
    start: str | None = None
    teachers: tuple[str, ...] | None = None
    teacher_share: float | None = None

    @property
    def coded_by(self) -> Codec:
        """The codec: the entry's own, with what was changed.

        Raises:
            UnknownName: when the codec has no such setting.
            KfkdError: when a number makes no sense.
        """
        return changed_codec(entry(self.model).codec, self.codec)

    @property
    def split_by(self) -> int:
        """The seed of the split."""
        return self.seed if self.split_seed is None else self.split_seed

    def plain(self) -> dict[str, Any]:
        """The settings as they stand in run.json."""
        fields = json.loads(json.dumps(asdict(self)))
        # Left out where they are not used: run.json files that do not know them stay equal.
        for key, unused in UNUSED.items():
            if whole_recipe(fields["recipe"])[key] == unused:
                del fields["recipe"][key]
        return {k: v for k, v in fields.items() if v is not None or k not in _OPTIONAL}


def shown_runs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The runs that a training began with or was taught by, as others may see them.

    Args:
        settings: of a run.json.

    Returns:
        `start` and `teachers` without the folders that they lie in, those that there are.
    """
    start, teachers = settings.get("start"), settings.get("teachers")
    told = {"start": shown_path(start)} if start else {}
    return told | ({"teachers": [*map(shown_path, teachers)]} if teachers else {})


def changed_recipe(found: Entry, changed: Mapping[str, Any]) -> Recipe:
    """The entry's recipe with the given fields changed.

    Raises:
        UnknownName: when a recipe has no such field.
    """
    known = set(Recipe.__dataclass_fields__)
    for key in changed:
        if key not in known:
            raise UnknownName("setting of a training", key, sorted(known))
    return replace(found.recipe, **changed)


def whole_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of a run.json with what is left out there where it is not used."""
    whole = dict(UNUSED) | dict(recipe)
    return whole | {"cycles": None if whole["cycles"] == 1 else whole["cycles"]}


def published_recipe(found: Entry) -> dict[str, Any]:
    """An entry's recipe as run.json would hold it: plain data, the mix under its usual name."""
    recipe: dict[str, Any] = whole_recipe(json.loads(json.dumps(asdict(found.recipe))))
    if recipe["augment"]:
        chosen = mix(recipe["augment"])
        recipe["augment"] = chosen.name or str(chosen)
    return recipe


def chosen_mix(
    recipe: Recipe, augment: str | Mix | Callable[..., Any] | None, copies: bool | None
) -> tuple[Recipe, Mix | None, Callable[..., Any] | None]:
    """The recipe with the augmentation that was asked for.

    Args:
        recipe: with the published augmentation.
        augment: "published", a mix, its name or text, an own function, or None.
        copies: fixed copies; None = as published for the published mix, else no.

    Returns:
        The recipe, its mix and the own function, None where there is none.

    Raises:
        UnknownName: when there is no such mix.
        KfkdError: when it is nothing of these, or copies are wanted of an own function.
    """
    if augment is None or (isinstance(augment, str) and augment == "none"):
        return replace(recipe, augment=None, copies=False), None, None
    if isinstance(augment, str) and augment == "published":
        if recipe.augment is None:
            return replace(recipe, copies=False), None, None
        augment, copies = recipe.augment, recipe.copies if copies is None else copies
    if isinstance(augment, str | Mix):
        chosen = mix(augment)
        name = chosen.name or str(chosen)
        own = recipe.copies if name == recipe.augment else False
        copies = own if copies is None else copies
        return replace(recipe, augment=name, copies=copies), chosen, None
    if not callable(augment):
        raise KfkdError(
            f"augment wants a mix, its name or text, a function, or None. Received: {augment!r}"
        )
    if copies:
        raise KfkdError("copies want a mix; an own function is called on every training batch")
    return replace(recipe, augment=None, copies=False), None, augment


def check(settings: Settings) -> None:
    """Refuses settings that make no sense, before anything is written.

    Raises:
        KfkdError: naming the setting, what was received and what was wanted.
    """
    from kfkd.learning.optimizing import SCHEDULES
    from kfkd.losses import loss_called, numbered
    from kfkd.map_losses import MAP_LOSSES

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
    }
    for key, (fits, what) in wanted.items():
        if not fits:
            raise KfkdError(f"{key} wants {what}. Received: {getattr(recipe, key)!r}")
    if recipe.epochs > _MOST_EPOCHS:
        raise KfkdError(f"epochs go up to {_MOST_EPOCHS:,}. Received: {recipe.epochs}")
    for key, value in (("seed", settings.seed), ("split_seed", settings.split_by)):
        if not whole(value, 0) or value >= 2**31:
            raise KfkdError(f"{key} wants a whole number from 0 to 2147483647. Received: {value!r}")
    if settings.fold is not None and not _is_fold(settings.fold):
        asked = "fold wants (i, k), k folds from 2 of which i is one, from 0"
        raise KfkdError(f"{asked}. Received: {settings.fold!r}")
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


def saved_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields, as `train` takes them, from their form in run.json."""
    recipe = whole_recipe(recipe)
    if recipe.get("plateau"):
        recipe["plateau"] = Plateau(**recipe["plateau"])
    if "views" in recipe:
        recipe["views"] = views_from(recipe["views"])
    recipe["phases"] = tuple(Phase(**phase) for phase in recipe.get("phases", ()))
    return recipe
