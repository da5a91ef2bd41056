"""Second looks: which faces get one, how they are moved and back, and what both looks come to."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.errors import KfkdError
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.second_looks import looked_again, to_usual, unusual

USUAL = np.array([[30.0, 36.0], [66.0, 36.0], [48.0, 56.0], [48.0, 75.0]])
SURE, UNSURE = 1.0, 3.0


def spots(points, radius=2):
    """Dark images with a bright spot on each point."""
    images = np.zeros((len(points), 96, 96, 1), np.uint8)
    for image, own in zip(images, points, strict=True):
        for x, y in own:
            cv2.circle(image, (round(16 * x), round(16 * y)), 16 * radius, 255, -1, shift=4)
    return images


def seen(images, reach=9):
    """Where the spots are that are nearest to where they usually are."""
    ys, xs = np.mgrid[:96, :96]
    found = np.full((len(images), 4, 3), SURE, np.float32)
    for image, own in zip(images[..., 0].astype(float), found, strict=True):
        for number, (x, y) in enumerate(USUAL):
            light = image * (np.hypot(xs - x, ys - y) < reach)
            own[number, :2] = (light * xs).sum() / light.sum(), (light * ys).sum() / light.sum()
    return found


def placed(zoom, shift):
    """Points that a face has when the usual one is zoomed about the middle and shifted."""
    return (47.5 + zoom * (USUAL - 47.5) + np.array(shift))[None]


@settings(deadline=None)
@given(zoom=st.floats(0.5, 2), x=st.floats(-20, 20), y=st.floats(-20, 20))
def test_faces_are_brought_to_where_they_usually_are(zoom, x, y):
    points = placed(zoom, (x, y))
    (matrix,) = to_usual(points, USUAL)
    np.testing.assert_allclose(points[0] @ matrix[:, :2].T + matrix[:, 2], USUAL, atol=1e-9)
    assert matrix[0, 0] == pytest.approx(1 / zoom)
    assert matrix[0, 1] == matrix[1, 0] == 0


def test_a_zoom_has_its_limits_and_needs_two_points():
    assert to_usual(placed(0.1, (0, 0)), USUAL)[0, 0, 0] == 2.5
    assert to_usual(placed(8, (0, 0)), USUAL)[0, 0, 0] == pytest.approx(0.4)
    one = np.where(np.arange(4)[:, None] == 2, USUAL, np.nan)
    np.testing.assert_allclose(to_usual(placed(1, (5, 0)), one)[0], [[1, 0, -5], [0, 1, 0]])
    np.testing.assert_array_equal(
        to_usual(placed(1, (5, 0)), np.full((4, 2), np.nan))[0], np.eye(3)[:2]
    )
    together = np.full((1, 4, 2), 20.0)
    np.testing.assert_allclose(to_usual(together, USUAL)[0, :, :2], np.eye(2))


@pytest.mark.parametrize(
    ("zoom", "shift", "wanted"),
    [
        (1.0, (0, 0), False),
        (1.08, (0, 0), False),
        (0.93, (2, 3), False),
        (1.0, (4, 2), False),
        (1.12, (0, 0), True),
        (0.89, (0, 0), True),
        (1.0, (5, 0), True),
        (1.0, (3.6, 3.6), True),
    ],
)
def test_which_faces_are_unusual(zoom, shift, wanted):
    assert unusual(to_usual(placed(zoom, shift), USUAL), (96, 96)).tolist() == [wanted]


def test_only_unusual_faces_are_looked_at_again_and_land_where_they_are():
    points = np.concatenate([placed(1, (0, 0)), placed(0.6, (6, -4)), placed(1.05, (1, 0))])
    images, asked = spots(points), []

    def answer(nearer):
        asked.append(nearer)
        return seen(nearer)

    first = np.concatenate([points + 2.0, np.full((3, 4, 1), UNSURE)], axis=-1).astype(np.float32)
    first[[0, 2], :, :2] -= 2.0
    found = looked_again(images, first, USUAL, answer)
    assert [len(images) for images in asked] == [1]
    np.testing.assert_array_equal(found[[0, 2]], first[[0, 2]])
    # Nine times the weight of the first look's, and nearer: its doubt shrinks with the zoom.
    (again,) = np.linalg.norm(found[[1], :, :2] - points[[1]], axis=-1)
    assert (again < 0.25 * np.sqrt(8)).all()
    assert ((found[1, :, 2] > 0) & (found[1, :, 2] < UNSURE)).all()


def test_usual_faces_alone_ask_for_nothing():
    points = placed(1, (1, 1))
    first = np.concatenate([points, np.full((1, 4, 1), SURE)], axis=-1).astype(np.float32)
    assert looked_again(spots(points), first, USUAL, None) is first


@pytest.mark.parametrize(("own", "other"), [(np.nan, SURE), (SURE, np.nan), (np.inf, np.inf)])
def test_without_doubts_both_looks_count_alike_and_none_is_told(own, other):
    points = placed(1, (10, 0))
    first = np.concatenate([points, np.full((1, 4, 1), own)], axis=-1).astype(np.float32)

    def answer(images):
        return np.concatenate([USUAL[None] + [2, -4], np.full((1, 4, 1), other)], axis=-1)

    found = looked_again(spots(points), first, USUAL, answer)
    np.testing.assert_allclose(found[..., :2], points + np.array([1, -2]), atol=1e-4)
    assert np.isnan(found[..., 2]).all()


def test_the_surer_look_counts_more_and_doubts_have_what_is_between():
    points = placed(1, (10, 0))
    first = np.concatenate([points, np.full((1, 4, 1), 2.0)], axis=-1).astype(np.float32)

    def answer(images):
        return np.concatenate([USUAL[None] + [5, 0], np.full((1, 4, 1), 1.0)], axis=-1)

    found = looked_again(spots(points), first, USUAL, answer)
    np.testing.assert_allclose(found[..., :2], points + np.array([4, 0]), atol=1e-4)
    # A fifth of 4 + 16 / 2 and four fifths of 1 + 1 / 2: variances along an axis.
    np.testing.assert_allclose(found[..., 2], np.sqrt(0.2 * 12 + 0.8 * 1.5), rtol=1e-4)


def test_frames_need_not_be_square():
    usual = USUAL + np.array([16, 0])
    points = (np.array([63.5, 47.5]) + 0.6 * (usual - [63.5, 47.5]) + [9, -3])[None]
    first = np.concatenate([points, np.full((1, 4, 1), UNSURE)], axis=-1).astype(np.float32)
    images, asked = np.zeros((1, 96, 128, 3), np.uint8), []

    def answer(nearer):
        asked.append(nearer.shape)
        return np.concatenate([usual[None], np.full((1, 4, 1), SURE)], axis=-1)

    found = looked_again(images, first, usual, answer)
    assert asked == [(1, 96, 128, 3)]
    np.testing.assert_allclose(found[..., :2], points, atol=1e-4)


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(KfkdError, match="second_look wants True or False"):
        kfkd.train("pyramid", synthetic_faces(8), second_look=1, out=tmp_path / "run")
