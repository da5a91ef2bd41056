"""All that is known of a model of the zoo: layers, settings, source, scores and mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kfkd.building import build, subset_outputs
from kfkd.errors import WeightsError
from kfkd.registry import Entry, entry
from kfkd.text import table
from kfkd.zoo_tables import best_measured

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Description:
    """All that is known of an entry.

    Args:
        name: the entry's name.
        summary: one line on what it is.
        facts: family, data set, input, subsets, settings, codec, source, scores.
        layers: for each subset the rows (layer, output shape, parameters); {} where the model
            cannot be built here for want of its pre-trained weights.
        params: parameter count by subset.
        gflops: GFLOPs of one image by subset; None where they cannot be counted.
        mistakes: what the source got wrong, and what we do instead.
    """

    name: str
    summary: str
    facts: Mapping[str, Any]
    layers: Mapping[str, list[tuple[str, str, int]]]
    params: Mapping[str, int]
    gflops: Mapping[str, float | None]
    mistakes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The description as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}", ""]
        lines += [f"{key:>14}  {value}" for key, value in self.facts.items()]
        for subset, cost in self.gflops.items():
            shown = "—" if cost is None else f"{cost:.3f}"
            lines += ["", f"{subset}: {self.params[subset]:,} parameters, {shown} GFLOPs"]
            if rows := self.layers.get(subset):
                columns = ("layer", "output", "params")
                lines.append(table(columns, [(a, b, f"{c:,}") for a, b, c in rows]))
        if self.mistakes:
            lines += ["", "known mistakes of the source:"]
            lines += [f"  - {mistake}" for mistake in self.mistakes]
        return "\n".join(lines)


def describe(name: str) -> Description:
    """Describes a model: layers, settings, source and the known mistakes of its source.

    Args:
        name: entry of the zoo.

    Returns:
        A `Description`; print it, or take `.as_dict()`.

    Raises:
        UnknownName: when the zoo has no such model.

    Example:
        >>> import kfkd
        >>> print(kfkd.describe("lenet5"))  # doctest: +ELLIPSIS
        lenet5: LeNet-5 in the study's form...
    """
    from kfkd.models.costs import gflops, layer_rows

    e = entry(name)
    models, lacking = _built_subsets(e)
    facts = {
        "family": e.family,
        "data set": e.dataset,
        "input": " × ".join(map(str, e.input_shape)),
        "subsets": ", ".join(f"{s} ({subset_outputs(e, s)} outputs)" for s in e.subsets),
        "training": ", ".join(f"{k} {v}" for k, v in _settings(e).items()),
        "codec": ", ".join(f"{k} {v}" for k, v in e.codec.config().items()),
        "published": ", ".join(f"{k} {v}" for k, v in e.published.items()) or "—",
        "measured": _measured(best_measured(name)),
        "source": e.source or "—",
    }
    if e.trainable:
        facts["trainable"] = ", ".join(f"{n:,} parameters" for n in e.trainable.values())
    published = {s: e.params.get(subset_outputs(e, s), 0) for s in e.subsets}
    return Description(
        name=name,
        summary=e.summary,
        facts=facts | ({"layers": f"not shown: {lacking}"} if lacking else {}),
        layers={s: layer_rows(m) for s, m in models.items()},
        params=published | {s: m.count_params() for s, m in models.items()},
        gflops=dict.fromkeys(e.subsets) | {s: gflops(m) for s, m in models.items()},
        mistakes=e.mistakes,
    )


def _built_subsets(e: Entry) -> tuple[dict[str, keras.Model], str]:
    """The entry's models by subset, or none and why, where its pre-trained weights are missing."""
    try:
        sizes = {s: subset_outputs(e, s) for s in e.subsets}
        return {s: build(e.name, outputs=n, **e.offline) for s, n in sizes.items()}, ""
    except WeightsError as error:
        return {}, str(error)


def _measured(result: Mapping[str, Any]) -> str:
    if not result:
        return "—"
    if "nme" in result:
        return (
            f"NME {100 * result['nme'][0]:.2f} % on {result['validation_images']} held-out images "
            f"(mean face {100 * result['nme'][1]:.2f} %), by: {result['command']}"
        )
    return (
        f"kaggle_rmse {result['kaggle_rmse']:.3f} px on {result['on']} "
        f"(mean face {result['mean_face']:.3f}), by: {result['command']}"
    )


def _settings(e: Entry) -> dict[str, Any]:
    settings = {key.replace("_", " "): value for key, value in asdict(e.recipe).items()}
    plateau = settings.pop("plateau")
    if plateau:
        settings["plateau"] = " ".join(f"{k.replace('_', ' ')} {v}" for k, v in plateau.items())
    phases = settings.pop("phases")
    for number, phase in enumerate(phases, 1):
        layers = {None: "all", 0: "none"}.get(phase["unfreeze"], f"the last {phase['unfreeze']}")
        settings[f"phase {number}"] = f"{phase['epochs']} epochs, {layers} of the backbone's layers"
    mix, copies = settings.pop("augment"), settings.pop("copies")
    if mix:
        settings["augmentation"] = mix + " (fixed copies)" * copies
    return {k: v for k, v in settings.items() if v is not None and v is not False}
