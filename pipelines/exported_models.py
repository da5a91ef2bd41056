"""Exported models run in their own runtimes: ONNX Runtime, LiteRT, TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Predictor = Callable[[np.ndarray], np.ndarray]
"""uint8 images (n, h, w, c) → keypoints float32 (n, k, 2)."""


def onnx_predictor(path: Path, threads: int | None = None) -> Predictor:
    """A model in ONNX Runtime, on the CPU.

    Args:
        path: the .onnx file.
        threads: at the most; None = as many as it likes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def litert_predictor(path: Path, threads: int | None = None) -> Predictor:
    """A model in LiteRT, an image at a time.

    Args:
        path: the .tflite file.
        threads: at the most; None = as many as it likes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own one says that it will go
        interpreter = _litert()(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    into = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]

    def one(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(into, image)
        interpreter.invoke()
        return interpreter.get_tensor(out)

    return lambda images: np.concatenate([one(images[i : i + 1]) for i in range(len(images))])


def _litert() -> Any:
    """LiteRT's own interpreter, or the one that TensorFlow still has."""
    try:
        return import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        import tensorflow as tf

        return tf.lite.Interpreter


def saved_model_predictor(path: Path, threads: int | None = None) -> Predictor:
    """A SavedModel in TensorFlow.

    Args:
        path: its folder.
        threads: not used: TensorFlow has them for the whole process.
    """
    import tensorflow as tf

    model = tf.saved_model.load(str(path))

    def predict(images: np.ndarray) -> np.ndarray:
        (found,) = model.serve(tf.constant(images)).values()
        return found.numpy()

    return predict
