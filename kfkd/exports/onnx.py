"""What is done to an ONNX file after its conversion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NEARLY_NOTHING = 1e-37


def finish_onnx(path: Path, facts: Mapping[str, Any]) -> None:
    """Puts the facts into an ONNX file's metadata, names its first axis "n", and checks it.

    Args:
        path: the file, which is replaced.
        facts: of `kfkd.exports.facts`.
    """
    import onnx

    model = onnx.load(path)
    told = {"kfkd": json.dumps(facts), "keypoints": ",".join(facts["keypoints"])}
    onnx.helper.set_model_props(model, told)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    _keep_zero_padding(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _keep_zero_padding(graph: Any) -> None:
    """Pads with nearly nothing in place of zeros where the maximum of neighbours is taken next.

    ONNX Runtime (seen with 1.31) puts a padding with zeros into the pooling, which then leaves
    padded places out: zeros would have won over what is negative.
    """
    import onnx
    from numpy import array, float32

    pooled = {name for node in graph.node if node.op_type == "MaxPool" for name in node.input}
    padded = [node for node in graph.node if node.op_type == "Pad" and pooled & set(node.output)]
    known = {one.name: one for one in graph.initializer}
    for node in padded:
        given = known.get(node.input[2]) if len(node.input) > 2 else None
        constant = all(a.name != "mode" or a.s == b"constant" for a in node.attribute)
        if not constant or (given is not None and onnx.numpy_helper.to_array(given).any()):
            continue
        name = f"{node.output[0]}_nearly_nothing"
        graph.initializer.append(
            onnx.numpy_helper.from_array(array(_NEARLY_NOTHING, float32), name)
        )
        inputs = [*node.input[:2], name]
        del node.input[:]
        node.input.extend(inputs)
