"""Batch normalisation fused in training: Keras' numbers, Keras' model."""

import keras
import numpy as np
import pytest
from keras import layers

import kfkd
from kfkd.bench.norms import bench_norms
from kfkd.pipelines import fused_norms
from kfkd.pipelines.layer_calls import inner_layers
from kfkd.pipelines.synthetic import synthetic_faces

pytestmark = [
    pytest.mark.usefixtures("keras_ready", "undrawn"),
    pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow's operation"),
]


@pytest.fixture
def calls(monkeypatch):
    """The layers that were normalised by the fused operation."""
    seen = []
    usual = fused_norms._normalised

    def counted(layer, inputs):
        seen.append(layer.name)
        return usual(layer, inputs)

    monkeypatch.setattr(fused_norms, "_normalised", counted)
    return seen


def net(policy="float32", channels=16, **settings):
    keras.utils.set_random_seed(3)
    image = keras.Input((9, 7, 3))
    x = layers.Conv2D(channels, 3, dtype=policy)(image)
    x = layers.BatchNormalization(momentum=0.9, name="norm", dtype=policy, **settings)(x)
    return keras.Model(image, layers.Dense(2, dtype="float32")(layers.Flatten()(x)))


def trained(model, batch_size=8):
    drawn = np.random.default_rng(0)
    images, targets = drawn.normal(5, 20, (24, 9, 7, 3)), drawn.normal(0, 1, (24, 2))
    model.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=False)
    model.fit(images, targets, batch_size=batch_size, epochs=2, shuffle=False, verbose=0)
    return model.get_weights(), model.predict(images, verbose=0)


@pytest.mark.parametrize(
    ("policy", "channels", "tolerance"),
    [
        ("float32", 16, 1e-5),
        ("float32", 5, 1e-5),
        ("mixed_bfloat16", 16, 0.02),
        ("mixed_bfloat16", 10, 0.02),
        ("mixed_float16", 8, 0.005),
    ],
)
def test_a_training_has_keras_numbers(calls, policy, channels, tolerance):
    usual, answers = trained(net(policy, channels))
    assert not calls
    model = net(policy, channels)
    with fused_norms.fused_norms(model):
        fused, same = trained(model)
    assert set(calls) == {"norm"}
    for ours, theirs in zip([*fused, same], [*usual, answers], strict=True):
        scale = 1 + np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=tolerance)


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}, {"epsilon": 0.1}])
def test_a_layers_settings_hold(calls, settings):
    usual, _ = trained(net(**settings))
    model = net(**settings)
    with fused_norms.fused_norms(model):
        fused, _ = trained(model)
    assert calls
    for ours, theirs in zip(fused, usual, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_single_value_has_no_variance(calls):
    image = keras.Input((1, 1, 2))
    model = keras.Model(image, layers.BatchNormalization(momentum=0.0)(image))
    with fused_norms.fused_norms(model):
        model(np.ones((1, 1, 1, 2), np.float32), training=True)
    assert calls
    np.testing.assert_allclose(model.layers[1].moving_mean, 1.0)
    np.testing.assert_allclose(model.layers[1].moving_variance, 0.0, atol=1e-6)


def test_layers_that_do_not_learn_use_what_they_have(calls):
    model = net()
    model.get_layer("norm").trainable = False
    before = [np.array(v) for v in model.get_layer("norm").non_trainable_variables]
    with fused_norms.fused_norms(model):
        trained(model)
    assert not calls
    for kept, old in zip(model.get_layer("norm").non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(kept, old)


def test_other_axes_ranks_and_layers_stay_keras_own(calls):
    class Own(layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            return inputs

    image = keras.Input((4, 4, 4))
    x = Own()(layers.BatchNormalization(axis=1)(image))
    x = layers.BatchNormalization()(layers.Flatten()(x))
    model = keras.Model(image, x)
    with fused_norms.fused_norms(model):
        model(np.ones((2, 4, 4, 4), np.float32), training=True)
    assert not calls


def test_layers_inside_models_are_found_and_left_as_they_were(calls):
    inner = net()
    image = keras.Input((9, 7, 3))
    model = keras.Model(image, inner(image))
    with fused_norms.fused_norms(model):
        model(np.ones((2, 9, 7, 3), np.float32), training=True)
    assert calls == ["norm"]
    assert not [layer for layer in inner_layers(model) if "call" in vars(layer)]
    model(np.ones((2, 9, 7, 3), np.float32), training=True)
    assert calls == ["norm"]


def test_a_layer_that_two_models_share_is_taken_once(calls):
    norm, image = layers.BatchNormalization(name="norm"), keras.Input((4, 4, 4))
    first, second = (keras.Model(image, norm(image), name=name) for name in ("first", "second"))
    model = keras.Model(image, second(first(image)))
    with fused_norms.fused_norms(model):
        model(np.ones((2, 4, 4, 4), np.float32), training=True)
    assert calls == ["norm", "norm"] and "call" not in vars(norm)


def test_with_a_gpu_nothing_changes(calls, monkeypatch):
    monkeypatch.setattr(fused_norms, "_on_a_processor", lambda: False)
    model = net()
    with fused_norms.fused_norms(model):
        trained(model)
    assert not calls


def test_trainings_use_it_and_end_where_keras_would(calls, monkeypatch, tmp_path):
    faces = synthetic_faces(60, seed=4)
    settings: dict = {"epochs": 2, "subsets": "dense", "batch_size": 16, "quiet": True}
    fused = kfkd.train("simple_cnn", faces, out=tmp_path / "fused", **settings)
    assert len(set(calls)) == 3
    with monkeypatch.context() as patch:
        patch.setattr(fused_norms, "_on_a_processor", lambda: False)
        usual = kfkd.train("simple_cnn", faces, out=tmp_path / "usual", **settings)
    np.testing.assert_allclose(fused.predict(faces.images), usual.predict(faces.images), atol=0.02)


def test_the_bench_prints_a_ratio(tiny_zoo):
    found = bench_norms("tiny", batch_size=2, steps=1, quiet=True)
    ratio = found["fused_images_per_s"] / found["keras_images_per_s"]
    assert found["speedup"] == pytest.approx(ratio, rel=0.05)
