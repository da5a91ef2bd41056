"""The graph of a SavedModel: what it computes, and that it does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from kfkd.errors import DataError

_STATEFUL = {
    *("VarHandleOp", "ReadVariableOp", "DisableCopyOnRead", "VarIsInitializedOp", "ResourceGather"),
    *("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"),
    *("StatefulPartitionedCall", "If", "While", "Case", "Assert"),
    *("RandomUniform", "RandomStandardNormal", "TruncatedNormal"),
}
_REACHES_OUT = re.compile(
    "File|Dataset|Iterator|PyFunc|Save|Restore|Checkpoint|Shard|Vocab|Lookup|Debug|Summary|Abort|"
    "ImmutableConst|Proto|Custom|Passthrough|Launch"  # these read files or run others' code, too
)


def computation(graph: bytes, file: str) -> bytes:
    """A SavedModel's graph without what only writing and reading checkpoints needs.

    Args:
        graph: content of a saved_model.pb.
        file: where it comes from, for errors.

    Returns:
        The graph as a saved_model.pb again; its variables have no values.

    Raises:
        DataError: when it is no SavedModel, or an operation of it does more than compute: model
            files come from anyone, and loading one must not touch files, network or Python.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    try:
        saved.ParseFromString(graph)
    except DecodeError as error:
        raise DataError(f"is not a SavedModel: {error}", file=file) from error
    if [meta.HasField("object_graph_def") for meta in saved.meta_graphs] != [True]:
        # Of TensorFlow 1, whose graph is run as it is loaded.
        raise DataError("is not a SavedModel of TensorFlow 2", file=file)
    for meta in saved.meta_graphs:
        meta.graph_def.ClearField("node")
        meta.ClearField("saver_def")
        meta.ClearField("signature_def")
        for node in meta.object_graph_def.nodes:
            node.ClearField("saveable_objects")
        library = meta.graph_def.library
        used = _reachable(library, meta.object_graph_def.concrete_functions)
        kept = [f for f in library.function if f.signature.name in used]
        _refuse_side_effects({node.op for f in kept for node in f.node_def}, file)
        del library.function[:]
        library.function.extend(kept)
    return saved.SerializeToString(deterministic=True)


def _reachable(library: Any, roots: Iterable[str]) -> set[str]:
    functions = {f.signature.name: f for f in library.function}
    gradients = {g.function_name: g.gradient_func for g in library.gradient}
    found, ahead = set(), [*roots, *(f for f in functions if "_grad" in f)]
    while ahead:
        name = ahead.pop()
        if name in functions and name not in found:
            found.add(name)
            ahead += [gradients.get(name, ""), *_called(functions[name].node_def)]
    return found


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        for value in node.attr.values():
            yield from (value.func.name, *(f.name for f in value.list.func))


def _refuse_side_effects(operations: Iterable[str], file: str) -> None:
    from tensorflow.python.framework import op_def_registry

    for name in sorted(operations):
        known = op_def_registry.get(name)
        harmless = known and (not known.is_stateful or name in _STATEFUL)
        if not harmless or _REACHES_OUT.search(name):
            raise DataError(
                f"holds the operation {name}; a feature vector wants operations that only compute",
                file=file,
            )
