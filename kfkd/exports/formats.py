"""The formats that runs are exported to: what each wants, how it is made and how it runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfkd.errors import KfkdError, UnknownName, WriteError
from kfkd.exports.long_sums import long_sums_in_parts
from kfkd.exports.onnx import finish_onnx
from kfkd.exports.onnx_ops import add_operations
from kfkd.lazy import keras
from kfkd.pipelines.exported_models import (
    Predictor,
    litert_predictor,
    onnx_predictor,
    saved_model_predictor,
)
from kfkd.storage.files import unwritten

if TYPE_CHECKING:
    from kfkd.exports.graph import ExportedModel


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        name: how users call it.
        write: (model, signature, path) → writes it.
        suffix: of its file; one without a dot ends the name of a folder.
        runtime: what runs it, for people.
        predictor: (path, threads) → what answers images with keypoints.
        packages: what it wants besides TensorFlow, by the module that is imported.
    """

    name: str
    write: Callable[[ExportedModel, list[Any], Path], None]
    suffix: str
    runtime: str
    predictor: Callable[[Path, int | None], Predictor]
    packages: Mapping[str, str]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return not self.suffix.startswith(".")

    @property
    def lacking(self) -> str | None:
        """How to install what is not there; None = nothing lacks."""
        lacking = [package for module, package in self.packages.items() if not find_spec(module)]
        return f"pip install {' '.join(lacking)}" if lacking else None


def _as(name: str) -> Callable[[ExportedModel, list[Any], Path], None]:
    """Keras' own exporter of a format."""

    def write(model: ExportedModel, signature: list[Any], path: Path) -> None:
        model.export(str(path), format=name, input_signature=signature, verbose=False)

    return write


def _saved_model(model: ExportedModel, signature: list[Any], path: Path) -> None:
    """As Keras' exporter does it, which writes all variables of a model twice, once."""
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", model.call, signature)
    archive.write_out(str(path), verbose=False)


def _onnx(model: ExportedModel, signature: list[Any], path: Path) -> None:
    add_operations()
    _as("onnx")(model, signature, path)


def _litert(model: ExportedModel, signature: list[Any], path: Path) -> None:
    with long_sums_in_parts(model.models):
        _as("litert")(model, signature, path)


_ONNX = {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"}

FORMATS = {
    "onnx": Format("onnx", _onnx, ".onnx", "ONNX Runtime", onnx_predictor, _ONNX),
    "litert": Format("litert", _litert, ".tflite", "LiteRT", litert_predictor, {}),
    "saved_model": Format(
        "saved_model", _saved_model, "_saved_model", "TensorFlow", saved_model_predictor, {}
    ),
}
"""By name."""


def export_format(name: str) -> Format:
    """The format called `name`, if it can be made here.

    Raises:
        UnknownName: when there is no such format.
        KfkdError: when a package lacks, or Keras runs on another backend than TensorFlow.
    """
    if name not in FORMATS:
        raise UnknownName("format of exported models", str(name), list(FORMATS))
    if (backend := keras.config.backend()) != "tensorflow":
        raise KfkdError(f"export wants KERAS_BACKEND=tensorflow. Received: {backend}")
    if command := FORMATS[name].lacking:
        raise KfkdError(f"export to {name} wants packages that are not installed: {command}")
    return FORMATS[name]


def convert(model: ExportedModel, made: Format, path: Path, facts: Mapping[str, Any]) -> None:
    """Writes a model in a format.

    Args:
        model: the whole run.
        made: the format.
        path: the file or folder to write.
        facts: what goes into the file too, where the format has room for it.

    Raises:
        KfkdError: when the converter refuses the model.
        WriteError: when the disk is full.
    """
    shape = (None, *model.models[0].input_shape[1:])
    signature = [keras.InputSpec(shape=shape, dtype="uint8", name=facts["input"]["name"])]
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.write(model, signature, path)
        if made.name == "onnx":
            finish_onnx(path, facts)
    except Exception as error:
        if reason := unwritten(error):
            raise WriteError(path, reason) from error
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise KfkdError(f"{facts['model']} cannot be converted to {made.name}: {told}") from error
