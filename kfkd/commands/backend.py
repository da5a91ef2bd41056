"""Keras' backend under the command line: there, and quiet as it starts."""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from kfkd.errors import KfkdError
from kfkd.learning.determinism import find_devices

_BACKENDS = ("tensorflow", "jax", "torch")


def calm_tensorflow() -> None:
    """Keeps TensorFlow's start-up notes out of a command's output.

    They go to the process's stderr before any of its log settings count, so stderr is set aside
    for the import; whoever sets TF_CPP_MIN_LOG_LEVEL gets to see them.

    Raises:
        KfkdError: when a backend is asked for that is not there.
    """
    backend, told = _asked_backend()
    _check_backend(backend, told)
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or backend != "tensorflow":
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        find_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def calm_retracing() -> None:
    """Keeps TensorFlow from warning of many models, which it takes for one that is traced anew."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _asked_backend() -> tuple[str, str]:
    """The backend that the environment or else Keras' own settings name, and who names it."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend, f"KERAS_BACKEND={backend:.80}"
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        backend = str(json.loads(file.read_text())["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow", "none"
    return backend, f"backend {backend:.80} in {file}"


def _check_backend(backend: str, told: str) -> None:
    """Refuses a backend that is not there, where Keras would end in a traceback.

    Raises:
        KfkdError: saying which are.
    """
    if backend in _BACKENDS and find_spec(backend):
        return
    there = [name for name in _BACKENDS if find_spec(name)]
    way = f"set KERAS_BACKEND={there[0]}" if there else "pip install tensorflow"
    why = "is not installed" if backend in _BACKENDS else "is no backend of kfkd"
    raise KfkdError(f"{way}. Received: {told}, which {why}")
