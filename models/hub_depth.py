"""The layers of a module in the order in which an image goes through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from math import inf
from typing import Any

_Known = tuple[int | None, frozenset[int]]
"""A value's depth, None where it does not depend on the image, and the variables it is made of."""


def layers_by_depth(module: Any) -> list[tuple[str, list[Any]]]:
    """A loaded module's variables by layer, the one nearest to the image first.

    A layer is a scope of names with its batch normalisation. The order is the graph's: modules
    list their variables in any order, often by name, and "Conv_1" may be the last layer.

    Args:
        module: what `tf.saved_model.load` returned.

    Returns:
        (scope, its variables) pairs.
    """
    depths = _depths(module.__call__.concrete_functions[0])
    layers: dict[str, list[Any]] = {}
    for variable in module.variables:
        scope = variable.name.partition(":")[0].rpartition("/")[0].removesuffix("/BatchNorm")
        layers.setdefault(scope, []).append(variable)
    return sorted(
        layers.items(), key=lambda layer: min(depths.get(id(v.handle), inf) for v in layer[1])
    )


def _depths(function: Any) -> dict[int, int]:
    """How many operations lie between the image and each variable's use, by id of its handle."""
    captured = function.captured_inputs
    names = [tensor.op.name for tensor in function.inputs]
    own = len(names) - len(captured)
    arguments: dict[str, _Known] = {name: (0, frozenset()) for name in names[:own]}
    for name, handle in zip(names[own:], captured, strict=True):
        arguments[name] = (None, frozenset([id(handle)]))
    graph = function.graph.as_graph_def()
    functions = {f.signature.name: f for f in graph.library.function}
    found: dict[int, int] = {}
    try:
        _measure(graph.node, arguments, functions, found)
    except CycleError:  # loops of TensorFlow 1: the module's own order has to do
        return {}
    return found


def _measure(
    nodes: Iterable[Any],
    arguments: Mapping[str, _Known],
    functions: Mapping[str, Any],
    found: dict[int, int],
) -> int:
    """Notes at which depth variables meet the image; returns that of the deepest operation."""
    known, by_name, deepest = dict(arguments), {node.name: node for node in nodes}, 0
    for name, sources in _in_order(by_name):
        if name in known or name not in by_name:
            continue
        given = [known.get(source, (None, frozenset[int]())) for source in sources]
        variables = frozenset[int]().union(*(v for depth, v in given if depth is None))
        above = [depth for depth, _ in given if depth is not None]
        if not above:
            known[name] = (None, variables)
            continue
        depth, body = max(above) + 1, functions.get(by_name[name].attr["f"].func.name)
        if body:
            inside = zip((a.name for a in body.signature.input_arg), given, strict=False)
            depth = _measure(body.node_def, dict(inside), functions, found)
        else:
            found.update({v: min(depth, found.get(v, depth)) for v in variables})
        known[name], deepest = (depth, frozenset()), max(depth, deepest)
    return deepest


def _in_order(nodes: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Names of operations with those of their inputs, inputs first."""
    sources = {
        name: [i.partition(":")[0] for i in node.input if not i.startswith("^")]
        for name, node in nodes.items()
    }
    return [(name, sources.get(name, [])) for name in TopologicalSorter(sources).static_order()]
