"""What all tests share: a cache of their own, and the way to the real data sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker a core: TensorFlow's own threads would stand in one another's way.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("KFKD_CACHE", str(folder))
        patch.delenv("KFKD_DATA", raising=False)
        yield folder


def real_data(name: str) -> Path:
    data = Path(os.environ.get("KFKD_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (data / name).exists():
        pytest.skip(f"no real data at {data / name}; set KFKD_TEST_DATA to a folder with it")
    return data / name


@pytest.fixture(scope="session")
def kaggle_folder() -> Path:
    """The real Kaggle folder; tests that ask for it are marked `real`."""
    return real_data("kaggle-fkd")


@pytest.fixture(scope="session")
def real_photos() -> Callable[[str], Path]:
    """Folders of real photos by name; tests that ask for one are marked `real`."""
    return real_data


@pytest.fixture(scope="session")
def layouts() -> Any:
    """The helpers that write tiny data sets of photos in every layout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import tiny_photos

        return tiny_photos


@pytest.fixture(scope="session")
def fabricated() -> Any:
    """The helpers that make up out-of-fold predictions without any training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import fabricated

        return fabricated


@pytest.fixture(scope="session")
def imagenet_weights() -> Path:
    """MobileNetV2 0.50's real weights under TF-Slim's names; tests with them are marked `real`."""
    return real_data("weights/mobilenet_v2_050_96_imagenet.npz")


@pytest.fixture(scope="session")
def keras_ready() -> None:
    """For tests that run TensorFlow: it takes this setting only before its first operation."""
    from kfkd.learning.determinism import one_op_at_a_time

    assert one_op_at_a_time(), "an earlier test ran TensorFlow without asking for keras_ready"


@pytest.fixture(scope="session")
def slim(keras_ready: None) -> Any:
    """The helpers that rebuild TF-Hub's modules; they run TensorFlow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import slim_modules

        return slim_modules


@pytest.fixture(scope="session")
def hub(slim: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """A cache of TF-Hub of this session's own; called with a module's name, it puts it in."""
    cache = tmp_path_factory.mktemp("tfhub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(cache))
        yield lambda name: slim.cached_module(cache, name)


def tiny(outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1)) -> Any:
    """A net of a few thousand weights with all that has a state: batch norm and dropout."""
    from keras import Input, Model, layers

    image = Input(input_shape)
    x = layers.Rescaling(1 / 255)(image)
    for filters in (4, 8):
        x = layers.Conv2D(filters, 5, strides=4, activation="relu")(x)
        x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return Model(image, layers.Dense(outputs, dtype="float32")(x))


def tiny_phases(outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1)) -> Any:
    """A backbone of three layers and a head, as a pre-trained net has them."""
    from keras import Input, Model, Sequential, layers

    backbone = Sequential(
        [
            Input(input_shape),
            layers.Conv2D(4, 8, strides=8, activation="relu"),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.Flatten(),
        ],
        name="backbone",
    )
    image = Input(input_shape)
    x = layers.Dropout(0.2)(backbone(layers.Rescaling(1 / 255)(image)))
    return Model(image, layers.Dense(outputs, dtype="float32")(x))


def register_tiny_zoo() -> None:
    """Registers "tiny" and "tiny_phases", which train in a second."""
    from kfkd.registry import Phase, Plateau, Recipe, register

    recipe = Recipe(
        learning_rate=0.02,
        batch_size=32,
        epochs=6,
        validation=0.2,
        early_stopping=3,
        restore_best=True,
        plateau=Plateau(factor=0.5, patience=1, min_learning_rate=1e-4),
    )
    register(recipe=recipe)(tiny)
    phases = (Phase(2, unfreeze=0), Phase(3, unfreeze=2, learning_rate=0.005))
    register(recipe=Recipe(batch_size=32, epochs=5, validation=0.2, phases=phases))(tiny_phases)


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """No pictures of the module's trainings: drawing takes longer than the training itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        yield


@pytest.fixture(scope="module")
def tiny_zoo(keras_ready: None) -> Iterator[None]:
    """The zoo with "tiny" and "tiny_phases" besides, gone again after the module."""
    from kfkd import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_ENTRIES", registry.entries())
        register_tiny_zoo()
        yield
