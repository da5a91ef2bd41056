"""Operations of TensorFlow that tf2onnx has no ONNX for."""

from __future__ import annotations

from typing import Any

import numpy as np


def add_operations() -> None:
    """Tells tf2onnx how to convert what it does not know by itself: Erfc, which is in gelu."""
    from tf2onnx.handler import tf_op

    tf_op("Erfc")(_Erfc)


class _Erfc:
    """1 − erf(x): ONNX has Erf from its version 9 on."""

    @classmethod
    def version_9(cls, graph: Any, node: Any, **settings: Any) -> None:
        """Puts two nodes where one was.

        Args:
            graph: tf2onnx's.
            node: the Erfc.
            **settings: of the handler; none.
        """
        from tf2onnx import utils

        kind, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
        one = np.array(1, utils.map_onnx_to_numpy_type(kind))
        whole = graph.make_const(utils.make_name("one"), one).output[0]
        part = graph.make_node("Erf", [node.input[0]], dtypes=[kind], shapes=[shape]).output[0]
        graph.remove_node(node.name)
        graph.make_node(
            "Sub", [whole, part], outputs=node.output, dtypes=[kind], shapes=[shape], name=node.name
        )
