"""Transforms that move pixels: keypoints move with them, under every transform, border and size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfkd.augment import Crop, Elastic, Flip, Frame, Mix, Perspective, Rotate, Scale, Shear, Shift
from kfkd.augment.draws import Draws
from kfkd.augment.placing import Placing
from kfkd.augment.turns import turns_of
from kfkd.errors import KfkdError, UnknownName
from kfkd.skeletons import KAGGLE_15

pytestmark = pytest.mark.usefixtures("keras_ready")

MOVES = [
    Flip(),
    Rotate(40),
    Shift(0.2),
    Scale(0.6, 1.6, 1.3),
    Shear(0.2),
    Perspective(0.25),
    Crop(0.5),
    Elastic(0.02, 0.5),
]
STILL = [
    Flip(p=0),
    Rotate(0),
    Shift(0),
    Scale(1, 1),
    Shear(0),
    Perspective(0),
    Crop(1),
    Elastic(0),
]
WILD = Mix([[*MOVES]], Frame("edge", outside="keep"))


def by_name(transforms):
    return [t.name for t in transforms]


def seed(step=0):
    return np.array([7, step], np.int32)


def applied(mix, images, keypoints, step=0, **more):
    mix = mix if isinstance(mix, Mix) else Mix([[mix]], Frame(outside="keep"))
    images, keypoints = mix.bind(KAGGLE_15)(images, keypoints, seed(step), **more)
    return np.asarray(images), np.asarray(keypoints)


def points(n=12, size=(96, 96), share=0.25, which=0):
    """Points in the middle of images, (n, 15, 2)."""
    low, high = (np.array([size[1], size[0]]) * s for s in (share, 1 - share))
    return np.random.default_rng(which).uniform(low, high, (n, 15, 2)).astype(np.float32)


def noise(n=12, size=(96, 96), channels=1):
    return np.random.default_rng(1).integers(0, 256, (n, *size, channels), dtype=np.uint8)


def ramps(n, size):
    """Images whose two channels are x and y, so that a sampled pixel says where it came from."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.repeat(np.stack([x, y], axis=-1)[None], n, axis=0)


def sampled(images, keypoints):
    """Bilinear values of (n, h, w, 2) at (n, k, 2)."""
    first = np.floor(keypoints).astype(int)
    part = keypoints - first
    rows = np.arange(len(images))[:, None]
    total = 0
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1])
            value = images[rows, first[..., 1] + dy, first[..., 0] + dx]
            total = total + weight[..., None] * value
    return total


def peak(image):
    """The top, (x, y), of a bell: that of the parabola through its logarithm."""
    y, x = np.nonzero(image > 0.3 * image.max())
    terms = np.stack([x * x, x * y, y * y, x, y, np.ones(len(x))], axis=-1)
    (a, b, c, d, e, _), *_ = np.linalg.lstsq(terms, np.log(image[y, x]), rcond=None)
    return np.linalg.solve([[2 * a, b], [b, 2 * c]], [-d, -e])


@pytest.mark.parametrize("size", [(96, 96), (60, 80)])
@pytest.mark.parametrize("transforms", [[t] for t in MOVES] + [MOVES[1:]], ids=str)
def test_a_pixel_at_a_moved_keypoint_came_from_the_keypoint(transforms, size):
    n, before = 12, points(12, size)
    mix = Mix([transforms], Frame("edge", outside="keep"))
    draws = Draws(seed(), np.arange(n, dtype=np.int32))
    place = Placing(size, size, n)
    for turn in turns_of(mix, draws, n):
        place.add(turn, draws)
    came_from = np.asarray(place.fetch(ramps(n, size), mix.frame))
    after = np.asarray(place.points(before))
    inside = ((after > 2) & (after < np.array([size[1], size[0]]) - 4)).all(axis=-1)
    assert inside.mean() > 0.5
    after = np.where(inside[..., None], after, 5)
    error = np.linalg.norm(sampled(came_from, after) - before, axis=-1)[inside]
    assert error.max() < 0.05


@pytest.mark.parametrize(
    "transform", [t for t in MOVES if t.name not in ("perspective", "elastic")]
)
def test_a_bright_spot_stays_under_its_keypoint(transform):
    before = np.repeat(points(8)[:, :1], 15, axis=1)
    y, x = np.mgrid[:96, :96]
    spot = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 12) for a, b in before[:, 0]]
    images, after = applied(
        transform, np.round(255 * np.array(spot))[..., None].astype(np.uint8), before
    )
    weight = images[..., 0].astype(float)
    inside = ((after[:, 0] > 12) & (after[:, 0] < 83)).all(axis=-1)
    assert inside.any()
    total = weight.sum(axis=(1, 2))
    centre = np.stack([(weight * a).sum(axis=(1, 2)) / total for a in (x, y)], axis=-1)
    np.testing.assert_allclose(centre[inside], after[inside, 0], atol=0.05)


@pytest.mark.parametrize("transform", [t for t in MOVES if t.name in ("perspective", "elastic")])
def test_a_bent_bright_spot_has_its_peak_under_its_keypoint(transform):
    """A spot's centre of mass moves where space is stretched unevenly, its brightest pixel not."""
    before = np.repeat(points(24)[:, :1], 15, axis=1)
    y, x = np.mgrid[:96, :96]
    spot = [255 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 6) for a, b in before[:, 0]]
    images, after = applied(transform, np.round(spot)[..., None].astype(np.uint8), before)
    inside = ((after[:, 0] > 6) & (after[:, 0] < 89)).all(axis=-1)
    assert inside.mean() > 0.5
    peaks = [peak(image) for image in images[inside, ..., 0].astype(float)]
    off = np.abs(peaks - after[inside, 0])
    assert np.sqrt(np.mean(off**2)) < 0.05
    assert off.max() < 0.1, "grey levels are whole numbers, and interpolation flattens a peak"


@pytest.mark.parametrize("transform", STILL, ids=by_name(STILL))
def test_strength_zero_is_the_identity(transform):
    images, keypoints = noise(channels=3), points()
    same, there = applied(Mix([[transform]]), images, keypoints)
    np.testing.assert_array_equal(same, images)
    np.testing.assert_allclose(there, keypoints, atol=1e-4)


def test_flipping_twice_is_the_identity():
    images, keypoints = noise(size=(40, 50)), points(size=(40, 50))
    keypoints[0, 3] = np.nan
    once = applied(Flip(), images, keypoints)
    np.testing.assert_array_equal(once[0], images[:, :, ::-1])
    mirrored = keypoints[:, list(KAGGLE_15.mirror)] * [-1, 1] + [49, 0]
    np.testing.assert_allclose(once[1], mirrored, atol=1e-4)
    twice = applied(Flip(), *once)
    np.testing.assert_array_equal(twice[0], images)
    np.testing.assert_allclose(twice[1], keypoints, atol=1e-4)


def test_the_published_flip_leaves_the_names():
    images, keypoints = noise(), points()
    _, there = applied(Flip(swap=False), images, keypoints)
    np.testing.assert_allclose(there, keypoints * [-1, 1] + [95, 0], atol=1e-4)


@settings(deadline=None, max_examples=15)
@given(angle=st.floats(0, 90), aside=st.integers(0, 1000))
def test_a_turn_and_its_opposite_leave_keypoints_where_they_were(angle, aside):
    turn, keypoints = Rotate(angle, alternate=True), points(2, which=aside)
    there = applied(turn, noise(2), keypoints, numbers=np.array([0, 1], np.int32))
    back = applied(turn, *there, numbers=np.array([1, 0], np.int32))
    np.testing.assert_allclose(back[1], keypoints, atol=1e-3)


def test_a_turn_and_its_opposite_leave_the_picture():
    y, x = np.mgrid[:96, :96]
    smooth = (127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7)).astype(np.uint8)[None, ..., None]
    turn = Rotate(20, alternate=True)
    there = applied(turn, smooth, points(1), numbers=np.array([0], np.int32))
    back = applied(turn, *there, numbers=np.array([1], np.int32))
    inner = np.abs(back[0][0, 25:70, 25:70].astype(int) - smooth[0, 25:70, 25:70])
    assert inner.max() <= 4
    assert np.abs(there[0].astype(int) - smooth).max() > 100


def test_a_positive_turn_is_counter_clockwise_as_in_the_study():
    """x' = c + cos t (x − c) + sin t (y − c), y' = c − sin t (x − c) + cos t (y − c)."""
    keypoints = points(1)
    _, there = applied(Rotate(10, alternate=True), noise(1), keypoints)
    t, (x, y) = np.radians(10), np.moveaxis(keypoints - 47.5, -1, 0)
    wanted = [47.5 + np.cos(t) * x + np.sin(t) * y, 47.5 - np.sin(t) * x + np.cos(t) * y]
    np.testing.assert_allclose(there, np.stack(wanted, axis=-1), atol=1e-3)


@pytest.mark.parametrize("transform", MOVES, ids=by_name(MOVES))
def test_missing_labels_stay_missing_and_no_others_do(transform):
    keypoints = points(share=0.45)
    keypoints[::2, 4:9] = np.nan
    _, there = applied(transform, noise(), keypoints)
    swapped = keypoints[:, list(KAGGLE_15.mirror)]
    known = swapped if transform.name == "flip" else keypoints
    np.testing.assert_array_equal(np.isnan(there), np.isnan(known))


def test_points_that_leave_the_image_are_lost_or_kept_as_the_frame_says():
    keypoints = np.full((6, 15, 2), 92, np.float32)
    gone = Mix([[Scale(1.5, 1.5)]])
    assert np.isnan(applied(gone, noise(6), keypoints)[1]).all()
    kept = Mix([[Scale(1.5, 1.5)]], Frame(outside="keep"))
    np.testing.assert_allclose(applied(kept, noise(6), keypoints)[1], 47.5 + 44.5 * 1.5, atol=1e-3)


def test_points_that_were_outside_before_are_not_lost():
    keypoints = np.full((2, 15, 2), 97, np.float32)
    _, there = applied(Mix([[Shift(0)]]), noise(2), keypoints)
    np.testing.assert_allclose(there, keypoints, atol=1e-4)


@pytest.mark.parametrize(
    ("border", "mode", "more"),
    [
        ("constant", "constant", {"constant_values": 9}),
        ("edge", "edge", {}),
        ("reflect", "reflect", {}),
    ],
)
def test_borders(border, mode, more):
    images = noise(8, (20, 24))
    mix = Mix([[Shift(0.4)]], Frame(border, 9, "keep"))
    there, moved = applied(mix, images, np.zeros((8, 15, 2), np.float32))
    for image, after, (dx, dy) in zip(images[..., 0], there[..., 0], moved[:, 0], strict=True):
        wide = np.pad(image, 12, mode=mode, **more).astype(float)
        y, x = np.mgrid[:20, :24]
        places = np.stack([x - dx + 12, y - dy + 12], axis=-1)
        wanted = sampled(wide[None, ..., None], places.reshape(1, -1, 2)).reshape(20, 24)
        np.testing.assert_allclose(after, wanted, atol=0.51)


def test_a_frame_of_another_size_rescales_images_and_keypoints():
    y, x = np.mgrid[:96, :96]
    images = ((x + y) % 256).astype(np.uint8)[None, ..., None]
    mix = Mix([[]], Frame("edge", size=(48, 192)))
    there, keypoints = applied(mix, images, points(1))
    assert there.shape == (1, 48, 192, 1)
    np.testing.assert_allclose(keypoints, (points(1) + 0.5) * [2, 0.5] - 0.5, atol=1e-3)
    assert abs(int(there[0, 20, 100, 0]) - (100.5 / 2 + 20.5 * 2 - 1)) <= 1


def test_one_image_alone_and_images_of_three_channels():
    images, keypoints = noise(1, channels=3), points(1)
    there, _ = applied(WILD, images, keypoints)
    assert there.shape == images.shape
    grey, _ = applied(WILD, images[..., :1], keypoints)
    np.testing.assert_array_equal(there[..., :1], grey)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rotate(-1),
        lambda: Rotate(float("nan")),
        lambda: Shift("far"),
        lambda: Scale(1.2, 0.8),
        lambda: Flip(p=1.5),
        lambda: Crop(0),
        lambda: Perspective(2),
        lambda: Elastic(0.1, 0.2),
        lambda: Frame(fill=-1),
        lambda: Frame(size=(0, 5)),
        lambda: Mix([[Elastic(0.015), Elastic(0.01)]]),
        lambda: Mix([["flip"]]),
        lambda: Mix([]),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(KfkdError, match=r"wants? .* Received: |wants at least"):
        make()


def test_unknown_borders_are_refused():
    with pytest.raises(UnknownName, match="edge"):
        Frame("edgy")
