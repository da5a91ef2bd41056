"""What a model costs: multiply-adds and parameters, layer by layer."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras import Layer, Model


def gflops(model: Model) -> float:
    """GFLOPs of one image: two per multiply-add of every convolution and dense layer.

    Args:
        model: a built model with fixed map sizes.

    Returns:
        10⁹ floating-point operations.
    """
    return (
        sum(2 * multiply_adds(layer) for layer in model._flatten_layers(include_self=False)) / 1e9
    )


def multiply_adds(layer: Layer) -> int:
    """Multiply-adds of one layer for one image; 0 for layers without a kernel."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None or getattr(layer, "output", None) is None:
        return 0
    positions = prod(layer.output.shape[1:-1])
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

    Run `kfkd models --measure-costs models/costs.json` after adding an entry.
    """
    from kfkd.registry import entries

    return {
        name: {str(n): round(gflops(e.build(n, e.input_shape)), 4) for n in e.params}
        for name, e in entries().items()
    }
