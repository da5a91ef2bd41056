import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kfkd import metrics
from kfkd.cli import parser
from kfkd.codecs import Coordinates, codec_from
from kfkd.errors import KfkdError, UnknownName
from kfkd.losses import LOSSES, PixelRMSE, masked_huber, masked_wing
from kfkd.map_losses import MAP_LOSSES

pytestmark = pytest.mark.usefixtures("keras_ready")

NAN = float("nan")
PIXELS = st.floats(-48, 144, width=32)
LABELS = st.one_of(st.just(NAN), PIXELS)
STUDY = Coordinates(offset=48.0, scale=48.0)
SHARES = Coordinates(offset=(-0.5, -0.5), scale=(80.0, 60.0))
OF_COORDINATES = [name for name in LOSSES if name not in MAP_LOSSES]


WING_GAP = 10 - 10 * np.log(1 + 10 / 2)


def by_hand(name, target, output):
    known = ~np.isnan(target)
    errors = (target.astype(np.float64) - output)[known]
    if not len(errors):
        return 0.0
    size = np.abs(errors)
    return {
        "mse": np.mean(size**2),
        "rmse": np.sqrt(np.mean(size**2)),
        "mae": np.mean(size),
        "huber": np.mean(np.where(size <= 1, size**2 / 2, size - 0.5)),
        "wing": np.mean(np.where(size < 10, 10 * np.log(1 + size / 2), size - WING_GAP)),
    }[name]


# Codecs


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float32, (3, 4, 2), elements=LABELS),
    st.floats(-100, 100),
    st.floats(0.1, 100),
)
def test_decoding_gives_the_encoded_points_back(keypoints, offset, scale):
    codec = Coordinates(offset, scale)
    targets = np.asarray(codec.encode(keypoints))
    assert targets.shape == (3, 8)
    back = np.asarray(codec.decode(targets))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(keypoints))
    np.testing.assert_allclose(back, keypoints, atol=0.05)


def test_targets_are_x_and_y_in_turn():
    keypoints = np.array([[[0.0, 48.0], [96.0, NAN]]], np.float32)
    np.testing.assert_allclose(np.asarray(STUDY.encode(keypoints)), [[-1, 0, 1, NAN]])
    np.testing.assert_array_equal(np.asarray(Coordinates().encode(keypoints)), [[0, 48, 96, NAN]])
    assert STUDY.outputs(15) == 30


def test_targets_may_be_shares_of_width_and_height():
    keypoints = np.float32([[[-0.5, 59.5], [79.5, NAN]]])
    targets = np.asarray(SHARES.encode(keypoints))
    np.testing.assert_allclose(targets, [[0, 1, 1, NAN]], atol=1e-6)
    np.testing.assert_allclose(np.asarray(SHARES.decode(targets)), keypoints, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [{"scale": 0}, {"scale": (80, 0)}, {"scale": (1, 2, 3)}, {"offset": (1, NAN)}, {"offset": "1"}],
)
def test_numbers_that_scale_nothing_are_refused(wrong):
    with pytest.raises(KfkdError, match="a codec wants finite numbers"):
        Coordinates(**wrong)


def test_a_codec_survives_its_config():
    assert codec_from(STUDY.config()) == STUDY
    assert codec_from(json.loads(json.dumps(SHARES.config()))) == SHARES
    assert codec_from({"codec": "coordinates", "offset": 0.0, "scale": 1.0}) == Coordinates()
    with pytest.raises(UnknownName, match="no codec is called 'heat'"):
        codec_from({"codec": "heat"})


# Losses


@pytest.mark.parametrize("name", OF_COORDINATES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_losses_are_the_mean_over_labelled_values(name, data):
    target = data.draw(hnp.arrays(np.float32, (4, 6), elements=LABELS))
    output = data.draw(hnp.arrays(np.float32, (4, 6), elements=PIXELS))
    loss = float(LOSSES[name](target, output))
    assert loss == pytest.approx(by_hand(name, target, output), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", OF_COORDINATES)
@pytest.mark.parametrize("unlabelled", ["none", "some", "all"])
@pytest.mark.parametrize("exact", [False, True])
def test_gradients_are_finite_and_nothing_where_nothing_is_labelled(name, unlabelled, exact):
    target = np.arange(12, dtype=np.float32).reshape(3, 4)
    output = tf.Variable(target if exact else target + 2)
    if unlabelled == "some":
        target[:, ::2] = NAN
    elif unlabelled == "all":
        target[:] = NAN
    with tf.GradientTape() as tape:
        loss = LOSSES[name](target, output)
    gradient = tape.gradient(loss, output).numpy()
    assert np.isfinite(float(loss)) and np.isfinite(gradient).all()
    assert not gradient[np.isnan(target)].any()
    if not exact:
        assert (gradient[~np.isnan(target)] > 0).all()


def test_losses_compute_in_float32_on_bfloat16_outputs():
    target = np.array([[47.3, NAN]], np.float32)
    output = keras.ops.cast(np.array([[47.0, 1.0]]), "bfloat16")
    loss = LOSSES["mse"](target, output)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(0.09, rel=1e-4)


def test_huber_is_squared_within_delta_and_linear_beyond():
    def of(error, delta):
        return float(masked_huber(np.float32([[0.0]]), np.float32([[error]]), delta))

    assert of(0.5, 1.0) == pytest.approx(0.125)
    assert of(-3.0, 1.0) == pytest.approx(2.5)
    assert of(3.0, 2.0) == pytest.approx(2 * (3 - 1))
    assert of(1.5, 2.0) == pytest.approx(1.125)


def test_wing_is_a_logarithm_within_its_width_and_linear_beyond():
    def of(error):
        return float(masked_wing(np.float32([[0.0]]), np.float32([[error]])))

    assert of(1.0) == pytest.approx(10 * np.log(1.5))
    assert of(-10.0) == pytest.approx(10 * np.log(6))
    assert of(13.0) == pytest.approx(10 * np.log(6) + 3)


@pytest.mark.parametrize("name", LOSSES)
def test_the_command_line_knows_every_loss(name):
    assert parser().parse_args(["train", "baseline", "--loss", name]).loss == name


# The metric on the device


@pytest.mark.parametrize("codec", [Coordinates(), STUDY], ids=str)
def test_pixel_rmse_over_uneven_batches_is_that_of_the_whole_set(codec):
    rng = np.random.Generator(np.random.PCG64(1))
    truth = rng.uniform(0, 96, (23, 5, 2)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.4] = NAN
    predicted = truth + rng.normal(0, np.linspace(0.1, 8, 23)[:, None, None], truth.shape)
    predicted = np.nan_to_num(predicted).astype(np.float32)
    metric, of_batches = PixelRMSE(codec), []
    for rows in np.split(np.arange(23), [1, 11, 21]):
        metric.update_state(codec.encode(truth[rows]), codec.encode(predicted[rows]))
        of_batches.append(metrics.rmse(truth[rows], predicted[rows]))
    whole = metrics.rmse(truth, predicted)
    assert float(metric.result()) == pytest.approx(whole, rel=1e-4)
    assert abs(np.mean(of_batches) - whole) > 0.05


def test_pixel_rmse_starts_anew_every_epoch_and_stands_batches_without_labels():
    metric = PixelRMSE(Coordinates())
    assert float(metric.result()) == 0
    metric.update_state(np.float32([[NAN, NAN]]), np.float32([[1, 2]]))
    assert float(metric.result()) == 0
    metric.update_state(np.float32([[NAN, 3]]), np.float32([[1, 7]]))
    assert float(metric.result()) == pytest.approx(4)
    metric.reset_state()
    metric.update_state(np.float32([[1, 1]]), np.float32([[2, 2]]))
    assert float(metric.result()) == pytest.approx(1)
