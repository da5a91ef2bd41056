"""What a training was asked for: the entry's recipe with the caller's changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kfkd.augment import Mix, mix
from kfkd.codecs import Codec, changed_codec
from kfkd.errors import KfkdError, UnknownName
from kfkd.registry import Entry, Phase, Plateau, Recipe, entry
from kfkd.text import shown_path
from kfkd.views import views_from

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
UNUSED: Mapping[str, Any] = {
    "cycles": None,
    **dict.fromkeys(("centre_labels", "second_look"), False),
    **dict.fromkeys(("linear_correction", "smooth_correction"), False),
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


def saved_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields, as `train` takes them, from their form in run.json."""
    recipe = whole_recipe(recipe)
    if recipe.get("plateau"):
        recipe["plateau"] = Plateau(**recipe["plateau"])
    if "views" in recipe:
        recipe["views"] = views_from(recipe["views"])
    recipe["phases"] = tuple(Phase(**phase) for phase in recipe.get("phases", ()))
    return recipe
