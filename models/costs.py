"""What a model costs: multiply-adds and parameters, layer by layer."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from kfkd.errors import WeightsError

if TYPE_CHECKING:
    from keras import Layer, Model

    from kfkd.registry import Entry


def gflops(model: Model) -> float | None:
    """GFLOPs of one image: two per multiply-add of every convolution and dense layer.

    Args:
        model: a built model with fixed map sizes.

    Returns:
        10⁹ floating-point operations; None where a closed module, as of TF-Hub, hides its own.
    """
    layers = list(model._flatten_layers(include_self=False))
    if any(getattr(layer, "closed", False) for layer in layers):
        return None
    return sum(2 * multiply_adds(layer) for layer in layers) / 1e9


def multiply_adds(layer: Layer) -> int:
    """Multiply-adds of one layer for one image; 0 for layers without a kernel."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None or getattr(layer, "output", None) is None:
        return 0
    # A transposed convolution spreads its input's positions, the others gather their output's.
    spread = "Transpose" in type(layer).__name__
    positions = prod((layer.input if spread else layer.output).shape[1:-1])
    return positions * prod(kernel.shape)


def layer_rows(model: Model) -> list[tuple[str, str, int]]:
    """For each layer what it is, its output shape without the batch, and its parameter count."""
    return [
        (_kind(layer), "×".join(map(str, layer.output.shape[1:])), layer.count_params())
        for layer in model.layers
    ]


def _kind(layer: Layer) -> str:
    settings = layer.get_config()
    details = [
        "×".join(map(str, settings[k])) for k in ("kernel_size", "pool_size") if k in settings
    ]
    details += [f"stride {s[0]}" for s in (settings.get("strides"),) if s and s[0] != 1]
    details += [str(settings[k]) for k in ("padding", "activation", "rate") if settings.get(k)]
    return " ".join([type(layer).__name__, *details])


def measure_costs() -> dict[str, dict[str, float]]:
    """GFLOPs of every entry by number of outputs, as `models/costs.json` holds them.

    Run `kfkd models --measure-costs models/costs.json` after adding an entry. Entries whose
    operations nobody can count from outside, TF-Hub's, are left out.
    """
    from kfkd.registry import entries

    found = {name: {str(n): _cost(e, n) for n in e.params} for name, e in entries().items()}
    known = {name: {n: c for n, c in row.items() if c is not None} for name, row in found.items()}
    return {name: row for name, row in known.items() if row}


def _cost(e: Entry, outputs: int) -> float | None:
    try:
        cost = gflops(e.build(outputs, e.input_shape, **e.offline))
    except WeightsError:
        return None
    return None if cost is None else round(cost, 4)
