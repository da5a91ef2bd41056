"""What the zoo holds: building, listing and describing its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from kfkd.codecs import Codec, changed_codec
from kfkd.errors import KfkdError, UnknownName, WeightsError
from kfkd.models.heads import check_codec
from kfkd.models.options import check_options
from kfkd.registry import Entry, entries, entry
from kfkd.skeletons import Skeleton
from kfkd.text import table

if TYPE_CHECKING:
    import keras


def build(
    name: str,
    outputs: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    *,
    codec: Codec | Mapping[str, Any] | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a model of the zoo, untrained.

    Args:
        name: entry of the zoo, see `kfkd.list_models()`.
        outputs: how many coordinates it answers with (8 dense, 22 sparse, 30 all), or maps where
            it answers with maps; None = for the keypoints of the entry's first subset.
        input_shape: (h, w, c); None = the entry's own.
        codec: what it is to answer with, a codec or, as for `kfkd.train`, changed settings of the
            entry's; None = the entry's own. A net of coordinates gets a head of maps where the
            codec is one of maps (`kfkd.models.heads`).
        **options: handed to the builder, such as `weights` of vgg16_transfer.

    Returns:
        An uncompiled `keras.Model` that takes pixels 0–255.

    Raises:
        UnknownName: when the zoo has no such model.
        KfkdError: when `outputs` is not a positive number, the model cannot be built so, or the
            codec does not fit its maps.

    Example:
        >>> import kfkd
        >>> kfkd.build("lenet5", outputs=8).count_params()
        21964056
    """
    found = entry(name)
    if isinstance(codec, Mapping):
        codec = changed_codec(found.codec, codec)
    if codec is not None and not isinstance(codec, Codec):
        raise KfkdError(
            f"codec wants one of kfkd.codecs, or its settings. Received: {codec!r:.100}"
        )
    if outputs is None:
        outputs = (codec or found.codec).outputs(len(found.skeleton.subset(found.subsets[0])))
    if outputs < 1:
        raise KfkdError(f"a model needs at least one output. Received: outputs={outputs}")
    shape = tuple(input_shape or found.input_shape)
    check_options(options)
    if codec is not None:
        check_codec(found, codec, shape)
    try:
        model = found.build(outputs, shape, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, KfkdError):
            raise
        what = f"{outputs} outputs, images of {shape}, options {options}"
        raise KfkdError(f"{name} cannot be built with {what}: {error}") from error
    wanted = found.codec.output_shape(outputs, shape)
    if getattr(model, "output_shape", None) != (None, *wanted):
        raise KfkdError(
            f"{name} wants to be a functional or sequential model with one output of "
            f"{' × '.join(map(str, wanted))} numbers. "
            f"Received: {getattr(model, 'output_shape', type(model).__name__)}"
        )
    return model if codec is None else _answering(model, codec, outputs)


def _answering(model: keras.Model, codec: Codec, outputs: int) -> keras.Model:
    """The model, with a head of maps where it answers with coordinates and maps are wanted, and
    without bounds on maps whose softmax is taken.
    """
    wanted = codec.output_shape(outputs, model.input_shape[1:])
    if len(wanted) == 1:
        return model
    from kfkd.models.heads import with_maps, with_scores

    if len(model.output_shape) > 2:
        from kfkd.integral import Integral

        return with_scores(model) if isinstance(codec, Integral) else model
    height, width, maps = wanted
    return with_maps(model, (height, width), maps)


def subset_outputs(found: Entry, subset: str, skeleton: Skeleton | None = None) -> int:
    """How many numbers or maps an entry's network gives for a subset; None = its own skeleton."""
    return found.codec.outputs(len((skeleton or found.skeleton).subset(subset)))


def list_models(family: str | None = None) -> list[dict[str, Any]]:
    """The models of the zoo, a row each; needs no TensorFlow.

    Args:
        family: only this family; None = all.

    Returns:
        Dicts with name, family, dataset, subsets, params (by outputs), gflops (by outputs, two per
        multiply-add, one image), published and measured scores.

    Example:
        >>> import kfkd
        >>> [row["name"] for row in kfkd.list_models("alexnet")]
        ['alexnet']
    """
    families = {e.family for e in entries().values()}
    if family is not None and family not in families:
        raise UnknownName("family", family, sorted(families))
    costs = packaged("costs.json")
    chosen = [e for e in entries().values() if family in (None, e.family)]
    return [
        {
            "name": e.name,
            "family": e.family,
            "dataset": e.dataset,
            "subsets": list(e.subsets),
            "params": dict(e.params),
            "gflops": costs.get(e.name, {}),
            "published": dict(e.published),
            "measured": best_measured(e.name),
        }
        for e in sorted(chosen, key=lambda e: (e.family, e.name))
    ]


def models_table(rows: list[dict[str, Any]]) -> str:
    """The rows of `list_models` as a text table."""
    header = ("name", "family", "data", "params", "GFLOPs", "published", "measured (mean face)")
    return table(header, [_models_row(row) for row in rows])


def _models_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    published, measured, sizes = row["published"], row["measured"], _sizes(row)
    if "private" in published:
        shown = f"{published['private']:.3f} / {published['public']:.3f}"
    else:
        shown = next((f"{value:.2f} ({key})" for key, value in published.items()), "—")
    return (
        row["name"],
        row["family"],
        row["dataset"],
        " + ".join(f"{row['params'][n] / 1e6:.2f} M" for n in sizes) or "—",
        " + ".join(f"{row['gflops'][str(n)]:.2f}" for n in sizes if str(n) in row["gflops"]) or "—",
        shown,
        _short(measured),
    )


def _short(measured: Mapping[str, Any]) -> str:
    if "nme" in measured:
        return "{:.2f} % ({:.2f} %)".format(*(100 * share for share in measured["nme"]))
    return f"{measured['kaggle_rmse']:.3f} ({measured['mean_face']:.2f})" if measured else "—"


def _sizes(row: Mapping[str, Any]) -> list[int]:
    found = entry(row["name"])
    wanted = [subset_outputs(found, subset) for subset in row["subsets"]]
    return [n for n in wanted if n in row["params"]]


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


def best_measured(name: str) -> dict[str, Any]:
    """The best row of a model in the zoo's tables of measured figures, {} where there is none."""
    rows = [row for row in packaged("results.json").values() if row["model"] == name]
    photos = [row for row in packaged("landmark_results.json").values() if row["model"] == name]
    return min(rows, key=lambda row: row["kaggle_rmse"], default={}) or min(
        photos, key=lambda row: row["nme"][0], default={}
    )


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


@cache
def packaged(name: str) -> dict[str, Any]:
    """A JSON table that comes with the zoo: "costs.json" or "results.json"."""
    import json

    folder = resources.files("kfkd.models")
    return json.loads((folder / name).read_text(encoding="utf-8"))
