import importlib.util
import os
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from kfkd.augment.detail import Blur, Jpeg, MotionBlur, Noise, Sharpen
from kfkd.augment.draws import Draws
from kfkd.augment.occlusion import CutOut
from kfkd.augment.tone import Brightness, Clahe, Contrast, Equalize, Gamma
from kfkd.errors import KfkdError

pytestmark = pytest.mark.usefixtures("keras_ready")

RANDOM = (
    Brightness(0.3),
    Contrast(0.5, 2),
    Gamma(0.5, 2),
    Blur(0.5, 1.5),
    MotionBlur(6),
    Sharpen(2),
    Noise(4, 8),
    Jpeg(10, 60),
    CutOut(0.2, 0.5, patches=2),
)
FIXED = (Equalize(), Clahe())
NOTHING = (
    Brightness(0),
    Contrast(1, 1),
    Gamma(1, 1),
    Blur(0),
    MotionBlur(1),
    Sharpen(0),
    Noise(0),
    CutOut(0, 0),
)
ALL = (*RANDOM, *FIXED)


def draws(count, seed=1, step=1):
    return Draws(np.array([seed, step], "int32"), np.arange(count, dtype="int32"))


def applied(transform, images, seed=1, step=1):
    result = transform.apply(tf.constant(images, tf.float32), draws(len(images), seed, step))
    assert result.shape == images.shape and result.dtype == tf.float32
    return result.numpy()


def noise(*shape):
    """White noise in whole grey levels."""
    return np.random.Generator(np.random.PCG64(1)).integers(0, 256, shape).astype(np.float32)


def smooth(*shape):
    """Soft clouds in whole grey levels that fill 0 to 255 in every image."""
    clouds = scipy.ndimage.gaussian_filter(noise(*shape), (0, 6, 6, 0), mode="wrap")
    low, high = (f(clouds, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    return np.round(255 * (clouds - low) / (high - low)).astype(np.float32)


# Tone, against the formulas


def test_brightness_adds_a_constant_within_its_range():
    images = noise(50, 8, 8, 3)
    change = applied(Brightness(0.2), images) - images
    assert np.ptp(change, axis=(1, 2, 3)).max() < 1e-3
    by = change.mean(axis=(1, 2, 3))
    assert np.abs(by).max() <= 51 and by.min() < -35 and by.max() > 35


def test_contrast_keeps_the_mean_and_scales_the_rest_within_its_range():
    images = noise(50, 8, 8, 3)
    result = applied(Contrast(0.5, 2), images)
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=0.01)
    factors = result.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert 0.499 < factors.min() < 0.6 and 1.7 < factors.max() < 2.001
    assert abs(np.log(factors).mean()) < 0.2
    np.testing.assert_allclose(applied(Contrast(2, 2), images)[0].std(), 2 * images[0].std(), 1e-4)


def test_gamma_is_a_power_and_keeps_black_and_white():
    images = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    expected = 255 * (images / 255) ** 1.7
    np.testing.assert_allclose(applied(Gamma(1.7, 1.7), images), expected, atol=0.01)
    beyond = applied(Gamma(0.5, 0.5), np.float32([-3, 0, 255, 260]).reshape(1, 2, 2, 1))
    np.testing.assert_allclose(beyond.ravel(), [0, 0, 255, 255], atol=0.01)


@pytest.mark.parametrize("shape", [(3, 96, 96, 1), (2, 50, 70, 3)], ids=str)
def test_equalize_is_the_cumulative_histogram(shape):
    images = smooth(*shape) * 0.5
    expected = []
    for image in np.round(images).astype(int):
        shares = np.cumsum(np.bincount(image.ravel(), minlength=256)) / image.size
        expected.append(255 * shares[image])
    np.testing.assert_allclose(applied(Equalize(), images), expected, atol=0.01)


@pytest.mark.parametrize("size", [(96, 96), (50, 70), (48, 70)], ids=str)
@pytest.mark.parametrize(("clip", "tiles"), [(2.0, 4), (4.0, 8), (40.0, 1)])
def test_clahe_is_opencvs(size, clip, tiles):
    images = np.concatenate([smooth(2, *size, 1), noise(1, *size, 1)])
    opencv = cv2.createCLAHE(clip, (tiles, tiles))
    expected = [opencv.apply(image) for image in images[..., 0].astype(np.uint8)]
    found = applied(Clahe(clip, tiles), images)[..., 0]
    np.testing.assert_allclose(found, expected, atol=1.01)


def test_clahe_counts_channels_together():
    images = smooth(2, 40, 60, 3)
    stacked = images.transpose(0, 3, 1, 2).reshape(2, 120, 60).astype(np.uint8)
    expected = [cv2.createCLAHE(3.0, (1, 1)).apply(image) for image in stacked]
    found = applied(Clahe(3.0, 1), images).transpose(0, 3, 1, 2).reshape(2, 120, 60)
    np.testing.assert_allclose(found, expected, atol=1.01)


# Detail, against scipy and OpenCV


@pytest.mark.parametrize("sigma", [0.4, 1, 3.5])
def test_blur_is_scipys(sigma):
    images = noise(2, 50, 70, 3)
    expected = [scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0)) for image in images]
    np.testing.assert_allclose(applied(Blur(sigma), images), expected, atol=0.01)


def test_blur_draws_its_width_and_stands_images_smaller_than_its_reach():
    point = np.zeros((50, 41, 41, 1), np.float32)
    point[:, 20, 20] = 255
    peaks = applied(Blur(1, 2), point).max(axis=(1, 2, 3)) / 255
    sigmas = (2 * np.pi * peaks) ** -0.5
    assert 0.98 < sigmas.min() < 1.1 and 1.9 < sigmas.max() < 2.02
    assert np.isfinite(applied(Blur(9), noise(1, 5, 7, 1))).all()


def test_motion_blur_is_a_line_of_the_length_asked_for_in_all_directions():
    point = np.zeros((200, 21, 21, 1), np.float32)
    point[:, 10, 10] = 1
    lines = applied(MotionBlur(9), point)[..., 0].astype(np.float64)
    np.testing.assert_allclose(lines.sum(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(lines, lines[:, ::-1, ::-1], atol=1e-6)
    places = np.arange(21) - 10
    xx, yy = (lines * places**2).sum((1, 2)), (lines * places[:, None] ** 2).sum((1, 2))
    xy = (lines * places * places[:, None]).sum((1, 2))
    moments = np.linalg.eigvalsh(np.moveaxis(np.array([[xx, xy], [xy, yy]]), -1, 0))
    # A line of length l has variance (l² − 1) / 12 along and next to none across.
    lengths = np.sqrt(12 * moments[:, 1] + 1)
    assert lengths.min() < 2 and 8.5 < lengths.max() < 9.7
    assert moments[:, 0].max() < 0.35
    angles = np.arctan2(2 * xy, xx - yy)[lengths > 4] / 2
    assert (np.histogram(angles, 6, (-np.pi / 2, np.pi / 2))[0] > 5).all()


def test_sharpen_undoes_some_of_a_blur():
    images = noise(50, 16, 16, 1)
    soft = np.array([scipy.ndimage.gaussian_filter(image, (1, 1, 0)) for image in images])
    amounts = (applied(Sharpen(2), images) - images).std((1, 2, 3)) / (images - soft).std((1, 2, 3))
    assert amounts.min() < 0.2 and 1.8 < amounts.max() < 2.001


def test_noise_has_the_spread_asked_for():
    grey = np.full((50, 32, 32, 3), 128, np.float32)
    spreads = applied(Noise(4, 8), grey).std(axis=(1, 2, 3))
    assert 3.8 < spreads.min() < 4.4 and 7.6 < spreads.max() < 8.2
    spreads = applied(Noise(8), grey).std(axis=(1, 2, 3))
    assert spreads.min() < 0.8 and spreads.max() > 7.2
    added = applied(Noise(8, 8), grey) - grey
    channels = added.reshape(-1, 3)
    assert np.abs(np.corrcoef(channels.T) - np.eye(3)).max() < 0.02
    assert abs(added.mean()) < 0.1


@pytest.mark.parametrize("size", [(96, 96), (50, 70)], ids=str)
@pytest.mark.parametrize("quality", [5, 30, 50, 90, 100])
def test_jpeg_is_opencvs(size, quality):
    images = smooth(3, *size, 1)
    for image, found in zip(images, applied(Jpeg(quality, quality), images), strict=True):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        _, packed = cv2.imencode(".jpg", image.astype(np.uint8), options)
        expected = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
        difference = np.abs(np.clip(found[..., 0], 0, 255) - expected)
        # Coefficients half-way between two multiples may be rounded either way.
        assert difference.mean() < 0.4 and np.quantile(difference, 0.9) < 1


# Occlusion


def test_cut_out_hides_one_rectangle_of_one_grey_value():
    images = np.full((100, 50, 70, 3), -1, np.float32)
    found = applied(CutOut(0.2, 0.4), images)
    hidden = found != -1
    rows, columns = hidden[..., 0].any(2), hidden[..., 0].any(1)
    assert (hidden == (rows[:, :, None] & columns[:, None, :])[..., None]).all()
    values = found.max(axis=(1, 2, 3))
    assert (
        found[hidden] == np.broadcast_to(values[:, None, None, None], found.shape)[hidden]
    ).all()
    assert values.min() < 20 and values.max() > 235
    for share, length in ((rows.sum(1), 50), (columns.sum(1), 70)):
        assert 0.36 * length < share.max() <= 0.4 * length + 1 and share.min() < 0.2 * length
    assert hidden.any(axis=0).mean() == 1


def test_cut_out_leaves_the_rest_as_it_was():
    images = noise(20, 50, 70, 1)
    hidden = applied(CutOut(0.2, 0.4), np.full_like(images, -1)) != -1
    np.testing.assert_array_equal(applied(CutOut(0.2, 0.4), images)[~hidden], images[~hidden])


def test_more_patches_hide_more():
    black = np.zeros((50, 32, 32, 1), np.float32)
    shares = [(applied(CutOut(0.3, 0.3, n), black) > 0).mean() for n in (1, 3)]
    assert shares[1] > 2 * shares[0] > 0.08


# What holds for all


@pytest.mark.parametrize("transform", NOTHING, ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_strength_nothing_changes_nothing(transform, compiled):
    images = noise(3, 24, 20, 3) * np.float32(0.99)

    def run(images):
        return transform.apply(images, draws(3))

    found = tf.function(run, jit_compile=compiled)(images)
    np.testing.assert_allclose(found, images, atol=1e-3)


@pytest.mark.parametrize("transform", RANDOM, ids=str)
def test_draws_differ_by_image_seed_and_step_and_repeat(transform):
    images = smooth(1, 24, 32, 1).repeat(4, axis=0)
    found = applied(transform, images, seed=3)
    for i in range(4):
        for j in range(i):
            assert np.abs(found[i] - found[j]).max() > 0.01
    np.testing.assert_array_equal(applied(transform, images, seed=3), found)
    for other in ({"seed": 4}, {"seed": 3, "step": 2}):
        assert np.abs(applied(transform, images, **other) - found).max() > 0.01
    fewer = Draws(np.array([3, 1], "int32"), np.array([2], "int32"))
    np.testing.assert_allclose(transform.apply(images[2:3], fewer), found[2:3], atol=1e-3)


@pytest.mark.parametrize("transform", ALL, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_stay_finite_and_near_the_range(transform, channels):
    images = np.stack([np.zeros((50, 70)), np.full((50, 70), 255), noise(50, 70)])
    found = applied(transform, images[..., None].repeat(channels, -1).astype(np.float32))
    assert np.isfinite(found).all()
    assert found.min() > -600 and found.max() < 900


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_compiled_and_mapped_do_what_eager_does(transform):
    images = smooth(4, 50, 70, 3)

    def run(images):
        return transform.apply(images, draws(4))

    expected = applied(transform, images)
    compiled = tf.function(run, jit_compile=True)(images)
    mapped = next(iter(tf.data.Dataset.from_tensors(images).map(run)))
    for found in (compiled.numpy(), mapped.numpy()):
        # A value that rounds the other way may come out elsewhere, so nearly all must agree.
        assert (np.abs(found - expected) < 0.1).mean() > 0.995
        assert np.abs(found - expected).mean() < 0.05


# How far the spot may seem to move in one image, and on average: noise and JPEG's blocks change
# single pixels of it, CLAHE's tiles lift one flank more than the other.
SPOTS = {
    **dict.fromkeys((*RANDOM[:6], Equalize(), Clahe(tiles=1), Blur(1)), (0.05, 0.05)),
    Clahe(): (0.3, 0.3),
    Noise(12): (0.5, 0.1),
    Jpeg(30, 90): (0.3, 0.1),
}


@pytest.mark.parametrize("transform", SPOTS, ids=str)
def test_a_bright_spot_stays_where_it_is(transform):
    centre = np.array([22.3, 33.6])
    y, x = np.mgrid[:50, :70]
    spot = 40 + 150 * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 8)
    found = applied(transform, spot[None, ..., None].repeat(48, 0).astype(np.float32))
    places = []
    for image in found[..., 0].astype(np.float64):
        above = np.maximum(image - (image.max() + np.median(image)) / 2, 0)
        places.append([(above * axis).sum() / above.sum() for axis in (y, x)])
    single, mean = SPOTS[transform]
    assert np.abs(np.array(places) - centre).max() < single
    assert np.abs(np.mean(places, axis=0) - centre).max() < mean


def test_a_bright_spot_is_hidden_or_stays_where_it_is():
    y, x = np.mgrid[:50, :70]
    spot = 40 + 150 * np.exp(-((y - 22) ** 2 + (x - 33) ** 2) / 8)
    images = spot[None, ..., None].repeat(48, 0).astype(np.float32)
    found = applied(CutOut(0.1, 0.4), images)
    other = (found != images)[..., 0]
    assert 0 < other.mean() < 0.5
    assert 0 < other[:, 22, 33].mean() < 0.5
    for image, hidden in zip(found[..., 0], other, strict=True):
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert np.ptp(image[hidden]) == 0 if hidden.any() else True
        np.testing.assert_array_equal(hidden, rows[:, None] & columns[None])


@pytest.mark.parametrize("transform", [t for t in ALL if t.name != "cut_out"], ids=str)
def test_a_picture_is_most_like_its_original_in_place(transform):
    images = smooth(4, 64, 48, 1)
    for image, found in zip(images[..., 0], applied(transform, images)[..., 0], strict=True):
        inside = found[1:-1, 1:-1].ravel()
        alike = [
            np.corrcoef(np.roll(image, (down, right), (0, 1))[1:-1, 1:-1].ravel(), inside)[0, 1]
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
        ]
        assert np.argmax(alike) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Brightness(1.1),
        lambda: Contrast(0, 1),
        lambda: Gamma(2, 1),
        lambda: Clahe(tiles=2.5),
        lambda: Clahe(clip=0),
        lambda: Blur(2, 1),
        lambda: Blur(-1),
        lambda: MotionBlur(0.5),
        lambda: Sharpen(float("nan")),
        lambda: Noise(8, 4),
        lambda: Jpeg(0, 50),
        lambda: CutOut(0.1, 0.2, patches=0),
        lambda: CutOut(0.1, 0.2, patches=1.5),
        lambda: Noise(8, p=2),
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(KfkdError, match="wants"):
        wrong()


@pytest.mark.parametrize(
    ("transform", "size", "least"),
    [(Clahe(tiles=8), (8, 20), 9), (Clahe(tiles=64), (96, 20), 65), (MotionBlur(15), (9, 6), 7)],
)
def test_images_too_small_for_a_transform_are_refused(transform, size, least):
    with pytest.raises(KfkdError, match=f"wants images of {least} pixels a side at least. Rec"):
        applied(transform, noise(1, *size, 1))
    assert applied(transform, noise(1, least, least, 1)).shape == (1, least, least, 1)


UNDER_JAX = """
import pickle, sys
import jax
import numpy as np
from kfkd.augment.draws import Draws
images, results = pickle.load(open(sys.argv[1], "rb"))
draws = np.array([1, 1], "int32"), np.arange(len(images), dtype="int32")
for transform, expected in results:
    found = jax.jit(lambda x: transform.apply(x, Draws(*draws)))(images)
    far = np.abs(np.asarray(found) - expected) > 0.1
    assert far.mean() < 0.005, (str(transform), far.mean())
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
@pytest.mark.slow
def test_jax_does_what_tensorflow_does(tmp_path):
    images = smooth(2, 30, 44, 1)
    results = [(transform, applied(transform, images)) for transform in ALL]
    (tmp_path / "results").write_bytes(pickle.dumps((images, results)))
    command = [sys.executable, "-c", UNDER_JAX, str(tmp_path / "results")]
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
