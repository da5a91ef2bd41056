"""Backbones of keras.applications, with their weights from Keras or from a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.errors import DataError, KfkdError, WeightsError
from kfkd.lazy import keras
from kfkd.models.weight_files import check_weights
from kfkd.storage.stored_arrays import read_arrays

if TYPE_CHECKING:
    from keras import Model


def application(
    net: str, shape: tuple[int, int, int], weights: str | None, **settings: Any
) -> Model:
    """A net of keras.applications without its top: the layer "backbone".

    Args:
        net: its name there, such as "VGG16".
        shape: (h, w, 3).
        weights: "imagenet" (downloaded once), a .h5, .weights.h5 or .keras file of the net without
            its top, an .npz under TF-Slim's names for MobileNetV2, or None for random ones.
        **settings: of the net, such as alpha.

    Raises:
        WeightsError: when the weights cannot be had; it says how to get them.
        DataError: when the file does not hold exactly this net's weights.
    """
    build = getattr(keras.applications, net)
    given = {"include_top": False, "input_shape": shape, "name": "backbone", **settings}
    if weights is None:
        return build(weights=None, **given)
    if weights == "imagenet":
        try:
            return build(weights=weights, **given)
        except Exception as error:
            raise _missing(net, weights, error) from error
    path = Path(weights).expanduser()
    if not path.is_file():
        raise _missing(net, weights, "there is no such file")
    backbone = build(weights=None, **given)
    fill(backbone, path)
    return backbone


def _missing(net: str, weights: str, why: object) -> WeightsError:
    return WeightsError(
        f"{net} weights {weights!r} cannot be had ({why}); download Keras' file without top "
        "(…_notop.h5 or …_no_top.h5) elsewhere and name it as weights, or take weights=None for "
        "random ones"
    )


def fill(backbone: Model, path: Path) -> None:
    """Puts a file's weights into a net.

    Args:
        backbone: a net of keras.applications without its top.
        path: .h5, .weights.h5 or .keras, or an .npz under TF-Slim's names.

    Raises:
        DataError: when the file cannot be read or does not hold exactly the net's weights.
    """
    if path.suffix == ".npz":
        _fill_from_slim(backbone, path)
        return
    try:
        check_weights(path)
        backbone.load_weights(path)
    except Exception as error:
        raise DataError(f"does not hold this net's weights: {error}", file=path) from error


def _fill_from_slim(backbone: Model, path: Path) -> None:
    arrays = _arrays(path)
    wanted = {slim_name(layer, v): v for layer in backbone.layers for v in layer.weights}
    problems = [f"it lacks {name}" for name in wanted if name not in arrays]
    problems += [f"{name} is not of this net" for name in arrays if name not in wanted]
    problems += [
        f"{name} is {arrays[name].shape}, not {tuple(v.shape)}"
        for name, v in wanted.items()
        if name in arrays and arrays[name].shape != tuple(v.shape)
    ]
    problems += [f"{name} is not finite" for name, a in arrays.items() if not _is_finite(a)]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"wants each of the net's {len(wanted)} tensors under TF-Slim's names: "
            f"{'; '.join(problems[:3])}{more}",
            file=path,
        )
    for name, variable in wanted.items():
        variable.assign(arrays[name])


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        stored = read_arrays(path)
    except KfkdError as error:
        raise DataError(str(error)) from error
    return {name.removeprefix("MobilenetV2/"): array for name, array in stored.items()}


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf" and bool(np.isfinite(array).all())


_SLIM = (
    (r"^bn_Conv1$", "Conv1_BN"),
    (r"^Conv1\b|^Conv1(?=_BN)", "Conv"),
    (r"_(BN|bn)$", "/BatchNorm"),
    (r"^block_(\d+)_", r"expanded_conv_\1/"),
    (r"^expanded_conv_(?=depthwise|project)", "expanded_conv/"),
)


def slim_name(layer: Any, variable: Any) -> str:
    """TF-Slim's name of a weight of MobileNetV2, such as "expanded_conv_3/expand/weights"."""
    scope = layer.name
    for pattern, replacement in _SLIM:
        scope = re.sub(pattern, replacement, scope)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel = "depthwise_weights" if depthwise else "weights"
    return f"{scope}/{kernel if variable.name == 'kernel' else variable.name}"
