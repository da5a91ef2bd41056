"""Search spaces: what a search varies of an entry, and between which values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kfkd.augment.mixes import OURS
from kfkd.codecs import Codec
from kfkd.heatmaps import Heatmap
from kfkd.models.options import widened
from kfkd.registry import Entry, Phase, entry

Space = Callable[[Any], Mapping[str, Any]]
"""A search space: a function of `keras_tuner.HyperParameters` that returns what is drawn, as
arguments of `kfkd.train`."""


def search_space(name: str, fixed: Container[str] = ()) -> Space:
    """The search space of an entry, around its published settings, which are the defaults.

    It has optimiser, learning rate, batch size, loss and augmentation mix; of entries with a
    pre-trained backbone how much of it learns in the end; and those options of the entry's builder
    that are called as in `kfkd.models.options`, so that models of one's own have them too. Nets of
    maps have no dense units, pre-trained backbones the width and depth of their weights, and an
    activation only with a hidden layer.

    Args:
        name: entry of the zoo.
        fixed: settings and builder's options that are not to be varied.

    Returns:
        A function `(hp) -> settings of kfkd.train`, for `kfkd.tune` or a space of one's own.

    Raises:
        UnknownName: when the zoo has no such model.

    Example:
        >>> def space(hp):  # doctest: +SKIP
        ...     drawn = search_space("lenet5", fixed={"loss"})(hp)
        ...     return {**drawn, "loss": hp.Choice("loss", ["mse", "huber(2)"])}
    """
    found = entry(name)

    def space(hp: Any) -> dict[str, Any]:
        drawn = {key: draw(hp, found) for key, draw in _SETTINGS.items() if key not in fixed}
        if found.recipe.phases and "phases" not in fixed:
            drawn["phases"] = _phases(hp, found)
        options = _options(hp, found, fixed)
        return {**drawn, "options": options} if options else drawn

    return space


def builder_options(found: Entry) -> dict[str, Any]:
    """An entry's builder's options with their defaults, the published net."""
    known = inspect.signature(found.build).parameters.values()
    told = {p.name: p.default for p in known if p.default is not p.empty}
    return {name: value for name, value in told.items() if name != "input_shape"}


def _optimizer(hp: Any, found: Entry) -> str:
    return _choice(hp, "optimizer", found.recipe.optimizer, ("adam", "adamw", "nadam", "rmsprop"))


def _learning_rate(hp: Any, found: Entry) -> float:
    rate = found.recipe.learning_rate
    return hp.Float("learning_rate", rate / 10, rate * 10, sampling="log", default=rate)


def _batch_size(hp: Any, found: Entry) -> int:
    size = found.recipe.batch_size
    sizes = sorted({max(1, size // 2), size, 2 * size, 4 * size})
    return hp.Choice("batch_size", sizes, default=size)


def _loss(hp: Any, found: Entry) -> str:
    return _choice(hp, "loss", found.recipe.loss, _losses(found.codec))


def _losses(codec: Codec) -> tuple[str, ...]:
    """Losses that make sense of a codec's targets, with numbers that mean 3, 10 and 2 pixels."""
    if isinstance(codec, Heatmap):
        return ("mse", "weighted_mse", "adaptive_wing")
    scale = getattr(codec, "scale", 1.0)
    pixels = max(scale) if isinstance(scale, tuple) else scale
    three, ten, two = (f"{size / pixels:.4g}" for size in (3, 10, 2))
    return ("mse", "mae", f"huber({three})", f"wing({ten}, {two})")


def _augment(hp: Any, found: Entry) -> str:
    return _choice(hp, "augment", found.recipe.augment or "none", ("none", *OURS))


def _choice(hp: Any, name: str, published: Any, others: Sequence[Any]) -> Any:
    return hp.Choice(name, list(dict.fromkeys((published, *others))), default=published)


_SETTINGS: Mapping[str, Callable[[Any, Entry], Any]] = {
    "optimizer": _optimizer,
    "learning_rate": _learning_rate,
    "batch_size": _batch_size,
    "loss": _loss,
    "augment": _augment,
}


def _phases(hp: Any, found: Entry) -> tuple[Phase, ...]:
    """As published, or a fifth of the epochs for the head, then the backbone's last layers too."""
    published = found.recipe.phases[-1].unfreeze or 0
    last = hp.Choice("fine_tune", sorted({published, 0, 5, 20, 60}), default=published)
    if last == published:
        return found.recipe.phases
    slow = found.recipe.learning_rate / 10
    return (Phase(1, 0), Phase(4, last, slow)) if last else (Phase(1, 0),)


def _options(hp: Any, found: Entry, fixed: Container[str]) -> dict[str, Any]:
    known = builder_options(found)
    free = [name for name in _OPTIONS if name in known and name not in fixed]
    drawn: dict[str, Any] = {}
    for name in free:
        with _where_it_counts(hp, found, name, "units" in drawn):
            drawn[name] = _OPTIONS[name](hp, known[name])
    return {name: value for name, value in drawn.items() if value is not None}


def _where_it_counts(
    hp: Any, found: Entry, name: str, chosen: bool
) -> AbstractContextManager[None]:
    """A backbone's activation is of its hidden layer: drawn, where units are, with some alone."""
    if name != "activation" or not chosen or not found.recipe.phases:
        return nullcontext()
    some = sorted({units for p in hp.space if p.name == "units" for units in p.values if units})
    return hp.conditional_scope("units", some)


def _width(hp: Any, published: float = 1.0) -> float:
    return _ordered(hp, "width", published, (0.5, 0.75, 1.0, 1.25, 1.5))


def _deeper(hp: Any, published: int = 0) -> int:
    return hp.Int("deeper", 0, 2, default=published)


def _units(hp: Any, published: int) -> int:
    others = (published // 4, published // 2, 2 * published) if published else (128, 512)
    return _ordered(hp, "units", published, others)


def _dropout(hp: Any, published: float) -> float:
    return _ordered(hp, "dropout", published, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6))


def _ordered(hp: Any, name: str, published: Any, others: Sequence[Any]) -> Any:
    return hp.Choice(name, sorted({published, *others}), default=published)


def _activation(hp: Any, published: str) -> str:
    return _choice(hp, "activation", published, ("relu", "leaky_relu", "elu", "silu", "gelu"))


_OPTIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "width": _width,
    "deeper": _deeper,
    "units": _units,
    "dropout": _dropout,
    "activation": _activation,
    "pooling": lambda hp, published: _choice(hp, "pooling", published, ("avg", "none")),
    "preprocess": lambda hp, published: hp.Boolean("preprocess", default=published),
    # Where a builder takes the filters and blocks of each stage, all are varied alike.
    "widths": lambda hp, published: [widened(filters, _width(hp)) for filters in published],
    "decoder": lambda hp, published: [widened(filters, _width(hp)) for filters in published],
    "depths": lambda hp, published: [n + _deeper(hp) if n else n for n in published],
}
