"""Training steps that make their own batches give the trainings that tf.data gives."""

import keras
import numpy as np
import pytest

import kfkd
from kfkd.augment import mix as augment_mix
from kfkd.errors import KfkdError
from kfkd.pipelines import device_steps
from kfkd.pipelines.batches import training_batches
from kfkd.pipelines.device_steps import DeviceSteps, fitting, one_batch, training_steps
from kfkd.pipelines.synthetic import synthetic_faces

pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(
        keras.config.backend() != "tensorflow", reason="other backends have arrays on the device"
    ),
]


@pytest.fixture
def on_a_gpu(monkeypatch):
    monkeypatch.setattr(device_steps, "alone_on_a_gpu", lambda: True)


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=4)


def made(steps):
    return [[np.asarray(part) for part in steps.make(*drawn)] for drawn in steps.rows]


@pytest.mark.parametrize("mix", [None, "flip(p=0.5), rotate(15), noise(5)"])
def test_batches_are_those_of_tf_data(on_a_gpu, faces, mix):
    augment = None if mix is None else augment_mix(mix).bind(faces.skeleton)
    settings = {"subset": "sparse", "seed": 3, "first_epoch": 1, "epochs": 3, "augment": augment}
    steps = training_steps(faces, 16, **settings)
    assert isinstance(steps, DeviceSteps)
    host = [list(map(np.asarray, batch)) for batch in training_batches(faces, 16, **settings)]
    for batch, same in zip(made(steps), host, strict=True):
        for part, other in zip(batch, same, strict=True):
            np.testing.assert_array_equal(part, other)


def test_nothing_changes_without_a_gpu_or_for_lazy_images(faces, monkeypatch):
    assert not device_steps.alone_on_a_gpu()
    assert not isinstance(training_steps(faces, 16), DeviceSteps)
    monkeypatch.setattr(device_steps, "alone_on_a_gpu", lambda: True)
    with pytest.raises(KfkdError, match="batch size of at least 1"):
        training_steps(faces, 0)


def test_trainings_are_the_same(faces, tmp_path, monkeypatch):
    settings: dict = {"epochs": 3, "subsets": "dense", "augment": "light", "batch_size": 16}
    host = kfkd.train("simple_cnn", faces, out=tmp_path / "host", quiet=True, **settings)
    monkeypatch.setattr(device_steps, "alone_on_a_gpu", lambda: True)
    kfkd.train("simple_cnn", faces, out=tmp_path / "gpu", quiet=True, **settings)
    gpu = kfkd.load_run(tmp_path / "gpu")
    np.testing.assert_allclose(gpu.predict(faces.images), host.predict(faces.images), atol=0.02)


def test_the_model_is_as_it_was_afterwards(on_a_gpu, faces):
    model = kfkd.build("simple_cnn", 30)
    model.compile("sgd", "mse")
    usual = model.train_step
    with fitting(model, training_steps(faces, 16)) as rows:
        model.fit(rows, steps_per_epoch=2, verbose=0)
    assert model.train_step == usual
    model.fit(faces.images, np.zeros((60, 30)), batch_size=16, verbose=0)


def test_one_batch_comes_again_and_again(on_a_gpu, faces):
    again = made(one_batch(training_steps(faces, 16, seed=1), 4))
    first = made(training_steps(faces, 16, seed=1))[0]
    assert len(again) == 4
    for batch in again:
        np.testing.assert_array_equal(batch[0], first[0])
