"""Model files from anyone, looked at before Keras builds anything of them.

Keras' safe mode refuses lambdas, and its releases refuse more of what else a file may name: layers
that read files or run other frameworks' code, functions, weights that lie in other files or claim
to be larger than any memory. Which release is installed is not ours to say, so all of that is
refused here, and only what describes an image model is let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from kfkd.errors import DataError, KfkdError
from kfkd.lazy import keras
from kfkd.models.model_sizes import check_size
from kfkd.models.weight_files import WEIGHTS, stored_numbers
from kfkd.storage.safe_reading import json_from
from kfkd.storage.unpacking import BROKEN, refuse_bomb

if TYPE_CHECKING:
    from keras import Model

CONFIG = "config.json"

_MOST_CONFIG = 1 << 24
_MEMBERS = re.compile(r"(metadata\.json|config\.json|model\.weights\.h5|assets(/[^/\\]+)*/?)")
_FAMILIES = (
    *("activations", "attention", "convolutional", "core", "merging", "normalization", "pooling"),
    *("regularization", "reshaping", "rnn", "preprocessing.image_preprocessing"),
    *("preprocessing.normalization", "preprocessing.rescaling"),
)
"""Kinds of Keras' own layers; others look words up in files, or run what other programs wrote."""

_LAYER = re.compile(rf"keras\.src\.layers\.({'|'.join(map(re.escape, _FAMILIES))})\b")
_MODELS = {"Functional", "Sequential", "Model", "DTypePolicy"}
_HOMES = {
    *("keras.initializers", "keras.regularizers", "keras.constraints", "keras.dtype_policies"),
    *("keras.optimizers", "keras.optimizers.schedules", "keras.losses", "keras.metrics"),
}
_OWN = ("keras", "keras.models", "keras.src.models.functional", "keras.src.models.sequential")
_OPERATIONS = re.compile(r"keras\.src\.ops(\.\w+)+")
_PLAIN = {"__keras_tensor__", "__ellipsis__", "__slice__"}
_ARRAYS = {"__numpy__", "__tensor__"}
_NUMBERS = re.compile(r"bool|u?int(8|16|32|64)|b?float(16|32|64)")


def load_checked(path: Path) -> Model:
    """Loads a `.keras` file from anyone in safe mode, for inference.

    Args:
        path: the file.

    Returns:
        The model, of nothing but Keras' own layers for images and of registered ones.

    Raises:
        Exception: of any kind, when it is no such file.
    """
    _check_file(path)
    found = keras.saving.load_model(path, compile=False, safe_mode=True)
    if not isinstance(found, keras.Model):
        raise DataError(f"it holds a {type(found).__name__}, not a model")
    return found


def _check_file(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            refuse_bomb(archive, path.stat().st_size)
            names = archive.namelist()
            if len({*names}) < len(names) or not {CONFIG, WEIGHTS} <= {*names}:
                raise DataError(f"it wants {CONFIG} and {WEIGHTS}, each once")
            for name in names:
                if not _MEMBERS.fullmatch(name) or ".." in name.split("/"):
                    raise DataError(f"it holds {name!r:.100}, which no model has")
            config = _config(archive)
            stored = stored_numbers(BytesIO(archive.read(WEIGHTS)))
    except KfkdError:
        raise
    except BROKEN as error:
        raise DataError(f"it is damaged or not a zip: {error}") from error
    check_size(config, _registered(config), stored)


def _config(archive: ZipFile) -> dict[str, Any]:
    if (size := archive.getinfo(CONFIG).file_size) > _MOST_CONFIG:
        raise DataError(f"it describes a model in {size:,} bytes")
    try:
        config = json_from(archive.read(CONFIG))
    except ValueError as error:
        raise DataError(f"it holds no readable {CONFIG}: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"its {CONFIG} is a {type(config).__name__}")
    return config | {"compile_config": None}  # as Keras does where it does not compile


def _registered(config: dict[str, Any]) -> dict[str, Any]:
    """The user's own registered classes and functions that a config names, by name.

    Raises:
        DataError: when it names something else that is no part of an image model.
    """
    found = {}
    for one in _objects(config):
        name = _registered_name(one)
        own = keras.saving.get_registered_object(name) if name else None
        if own is not None:
            found[name] = own
        elif not _is_known(one):
            kind = one["class_name"] if one["class_name"] != "function" else one.get("config")
            told = ".".join(str(part) for part in (one.get("module"), kind) if part)
            raise DataError(
                f"it names {told!r:.120}, which is neither an image model's part nor registered "
                "(keras.saving.register_keras_serializable)"
            )
    return found


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that a config describes."""
    ahead = [config]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            ahead += value.values()
        elif isinstance(value, list):
            ahead += value


def _registered_name(one: dict[str, Any]) -> str:
    name = one.get("config") if one["class_name"] == "function" else one.get("registered_name")
    return name if isinstance(name, str) else ""


def _is_known(one: dict[str, Any]) -> bool:
    """Whether an object is one of Keras' own that an image model may have."""
    kind, home, config = one["class_name"], one.get("module"), one.get("config")
    if not isinstance(kind, str) or not isinstance(home, str | None):
        return False
    if kind in _ARRAYS:
        told = config.get("dtype") if isinstance(config, dict) else None
        return isinstance(told, str) and _NUMBERS.fullmatch(told) is not None
    if kind in _PLAIN:
        return True
    if kind == "function":
        return isinstance(config, str) and _has(keras.activations, config)
    if home == "keras.layers":
        layer = getattr(keras.layers, kind, None) if kind.isidentifier() else None
        place = getattr(layer, "__module__", "")
        return kind != "Lambda" and _LAYER.match(place) is not None
    if home in _OWN:
        return kind in _MODELS
    if home is not None and _OPERATIONS.fullmatch(home):
        return kind.isidentifier()
    return home in _HOMES and _has(_module(home), kind)


def _module(home: str) -> Any:
    found: Any = keras
    for part in home.split(".")[1:]:
        found = getattr(found, part)
    return found


def _has(module: Any, name: str) -> bool:
    return name.isidentifier() and not name.startswith("_") and callable(getattr(module, name, 0))
