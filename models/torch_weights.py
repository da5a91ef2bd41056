"""ImageNet weights under torchvision's names, from files that hold nothing but numbers.

Such are `.safetensors`, as `model.safetensors` of timm/resnet18.tv_in1k and timm/resnet50.tv_in1k
at huggingface.co, and `.npz`. A `.pth` is a pickle, which nothing here reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.errors import DataError, WeightsError
from kfkd.lazy import keras
from kfkd.storage.safe_reading import json_from
from kfkd.storage.stored_arrays import read_arrays

if TYPE_CHECKING:
    from keras import Model

_PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_HEADER = 8  # bytes that give the length of a .safetensors file's own description


def fill_from_torch(model: Model, weights: str | Path, skip: tuple[str, ...] = ()) -> None:
    """Puts a file's weights into a model whose layers are called as torchvision's.

    The dense layers stay as they are. Where the model takes one channel and the file
    three, the kernels of the three are added: a grey picture gets the same answer.

    Args:
        model: the model.
        weights: .safetensors or .npz file.
        skip: layers to leave as they are.

    Raises:
        WeightsError: when there is no such file.
        DataError: when the file cannot be read or lacks a weight of the model.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"weights {str(weights)!r} cannot be had: there is no such file; download "
            "model.safetensors of timm/resnet18.tv_in1k or timm/resnet50.tv_in1k from "
            "huggingface.co elsewhere and name it, or take weights=None for random ones"
        )
    arrays, found = _arrays(path), {}
    for layer in model.layers:
        if layer.name not in skip and not isinstance(layer, keras.layers.Dense):
            for variable in layer.weights:
                name = f"{layer.name}.{_PARTS[variable.name]}"
                found[name] = (variable, _fitting(arrays.get(name), tuple(variable.shape)))
    if lacking := [name for name, (_, array) in found.items() if array is None]:
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" * (len(lacking) > 3))
        raise DataError(f"lacks {model.name}'s {shown}, or has other shapes", file=path)
    for variable, array in found.values():
        variable.assign(array)


def _fitting(array: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in Keras' order of axes, None where it does not fit or is not finite."""
    if array is None or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        return None
    if array.ndim == 4 == len(shape):
        array = array.transpose(2, 3, 1, 0)
        if shape[2] == 1 and array.shape[2] == 3:
            array = array.sum(axis=2, keepdims=True)
    return array if array.shape == shape else None


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        return read_arrays(path) if path.suffix == ".npz" else _safetensors(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"is no readable .safetensors or .npz file: {error}", file=path) from error


def _safetensors(content: bytes) -> dict[str, np.ndarray]:
    """The float32 tensors of a .safetensors file."""
    start = _HEADER + int.from_bytes(content[:_HEADER], "little")
    if not _HEADER < start <= len(content):
        raise ValueError("its header is cut off")
    facts: dict[str, Any] = json_from(content[_HEADER:start])
    facts.pop("__metadata__", None)
    found, view = {}, memoryview(content)  # names may share the same bytes, which are held once
    for name, tensor in facts.items():
        if tensor["dtype"] == "F32":
            first, end = (start + offset for offset in tensor["data_offsets"])
            found[name] = np.frombuffer(view[first:end], "<f4").reshape(tensor["shape"])
    return found
