"""Where TF-Hub modules lie: a folder, an archive, the hub's cache, or the hub itself."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kfkd.errors import DataError, KfkdError, WeightsError
from kfkd.lazy import keras
from kfkd.models.hub_graph import computation
from kfkd.storage.unpacking import unpack

GRAPH = "saved_model.pb"


@contextmanager
def module_folder(weights: str) -> Iterator[Path]:
    """Finds a module, unpacking or downloading it where need be.

    Args:
        weights: a SavedModel's folder, a .tar.gz of one, or a handle of TF-Hub.

    Yields:
        The SavedModel's folder; an archive's is gone after the block.

    Raises:
        WeightsError: when there is no such module, or the hub cannot be reached.
        DataError: when the archive cannot be unpacked.
    """
    path = Path(weights).expanduser()
    if path.is_dir():
        yield path
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="kfkd-hub-") as folder:
            yield _unpacked(path, Path(folder))
    elif "://" in weights:
        yield _resolved(weights)
    else:
        raise WeightsError(
            "weights wants the folder of a TF-Hub module, a .tar.gz of it, or its handle "
            f"(https://…). Received: {weights!r}, which does not exist"
        )


def _unpacked(archive: Path, folder: Path) -> Path:
    try:
        unpack(archive, folder)
    except (KfkdError, OSError) as error:
        raise DataError(f"is not a readable .tar.gz: {error}", file=archive) from error
    graph = next(folder.rglob(GRAPH), None)
    if graph is None:
        raise DataError(f"holds no {GRAPH}, so no TF-Hub module", file=archive)
    return graph.parent


def cached_folder(handle: str) -> Path:
    """Where TF-Hub keeps the module of a handle after its download."""
    cache = os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir()) / "tfhub_modules"
    return Path(cache).expanduser() / hashlib.sha1(handle.encode()).hexdigest()


def _resolved(handle: str) -> Path:
    folder = cached_folder(handle)
    if (folder / GRAPH).is_file():
        return folder
    try:
        import tensorflow_hub

        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:
        raise WeightsError(
            f"the TF-Hub module {handle} cannot be had here ({getattr(error, 'reason', error)}); "
            f"download {handle}?tf-hub-format=compressed elsewhere and unpack it into {folder}, "
            "or name the .tar.gz or its unpacked folder as weights"
        ) from error


def module_graph(folder: Path) -> bytes:
    """What rebuilds a module beside its weights: its graph, reduced to what computes.

    Args:
        folder: of the SavedModel.

    Returns:
        Content of a saved_model.pb.

    Raises:
        DataError: when it holds no SavedModel, or one that does more than compute.
    """
    if not (folder / GRAPH).is_file():
        raise DataError(f"is not a TF-Hub module: it holds no {GRAPH}", file=folder)
    return computation((folder / GRAPH).read_bytes(), str(folder / GRAPH))


def rebuilt_module(graph: bytes) -> Any:
    """A module from what `module_graph` returned; its variables await their values."""
    with tempfile.TemporaryDirectory(prefix="kfkd-hub-") as folder:
        (Path(folder) / GRAPH).write_bytes(graph)
        return load_module(Path(folder), weights=False)


def want_tensorflow() -> None:
    """Refuses what a module's graph could not run under.

    Raises:
        KfkdError: when Keras runs on another backend than TensorFlow, or several devices share
            its work.
    """
    if (backend := keras.config.backend()) != "tensorflow":
        raise KfkdError(f"TF-Hub modules want KERAS_BACKEND=tensorflow. Received: {backend}")
    import tensorflow as tf

    if (devices := tf.distribute.get_strategy().num_replicas_in_sync) > 1:
        raise KfkdError(f"TF-Hub modules train on one device. Received: devices={devices}")


def load_module(folder: Path, weights: bool = True) -> Any:
    """Loads a SavedModel that takes images and gives feature vectors.

    Args:
        folder: of the SavedModel.
        weights: whether to read its weights too; else its variables await their values.

    Returns:
        The module: callable, with `variables` and `trainable_variables`.

    Raises:
        KfkdError: as `want_tensorflow`.
        DataError: when it cannot be loaded, or lacks these.
    """
    want_tensorflow()
    import tensorflow as tf

    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=not weights)
    try:
        module = tf.saved_model.load(str(folder), options=options)
    except Exception as error:
        cause = str(error).partition("\n")[0]
        raise DataError(f"cannot be loaded as a SavedModel: {cause}", file=folder) from error
    wanted = ("__call__", "variables", "trainable_variables")
    lacking = [name for name in wanted if not hasattr(module, name)]
    if lacking:
        raise DataError(
            f"is not a TF2 feature vector (version 4 or later): it lacks {', '.join(lacking)}",
            file=folder,
        )
    return module
