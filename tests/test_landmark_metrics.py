import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kfkd.ced import auc, ced, failure_rate, landmark_scores
from kfkd.errors import KfkdError
from kfkd.landmarks.curves import ced_curve
from kfkd.nme import (
    box_sizes,
    eye_distances,
    group_nme,
    image_nme,
    nme,
    pixel_mae,
    point_distances,
)
from kfkd.skeletons import IBUG_68, KAGGLE_15, Skeleton

NAN, INF = float("nan"), float("inf")
FACE = Skeleton(
    "FACE",
    ("right_eye", "left_eye", "nose"),
    groups={"eyes": (0, 1), "nose": (2,)},
    normaliser=(0, 1),
)
TRUTH = np.float32([[[0, 0], [100, 0], [50, 40]], [[0, 0], [0, 50], [NAN, NAN]]])
PREDICTED = np.float32([[[3, 4], [100, 0], [50, 50]], [[0, 1], [0, 48], [7, 7]]])


def test_lengths_of_the_face():
    np.testing.assert_allclose(eye_distances(TRUTH, FACE), [100, 50])
    np.testing.assert_allclose(box_sizes(TRUTH[:1]), [np.sqrt(100 * 40)])
    np.testing.assert_array_equal(box_sizes(TRUTH[1:]), [NAN])
    lost = TRUTH.copy()
    lost[0, 1], lost[1, 1] = NAN, lost[1, 0]
    np.testing.assert_array_equal(eye_distances(lost, FACE), [NAN, NAN])
    np.testing.assert_array_equal(box_sizes(np.full((2, 3, 2), NAN)), [NAN, NAN])
    with pytest.raises(KfkdError, match="BARE names no two points"):
        eye_distances(TRUTH, Skeleton("BARE", ("a", "b", "c")))


def test_ibugs_errors_are_shares_of_the_distance_of_the_outer_eye_corners():
    truth = np.zeros((1, 68, 2))
    truth[0, 36], truth[0, 45] = (30, 40), (90, 40)
    np.testing.assert_allclose(eye_distances(truth, IBUG_68), [60])
    predicted = truth + np.array([0, 3])
    assert image_nme(truth, predicted, eye_distances(truth, IBUG_68))[0] == pytest.approx(3 / 60)


def test_an_images_error_is_its_mean_distance_over_the_length():
    np.testing.assert_allclose(
        point_distances(TRUTH, PREDICTED), [[5, 0, 10], [1, 2, NAN]], rtol=1e-6
    )
    errors = image_nme(TRUTH, PREDICTED, eye_distances(TRUTH, FACE))
    np.testing.assert_allclose(errors, [0.05, 0.03])
    assert nme(errors) == pytest.approx(0.04)
    missing = PREDICTED.copy()
    missing[0, 2] = NAN
    np.testing.assert_allclose(image_nme(TRUTH, missing, eye_distances(TRUTH, FACE)), [0.025, 0.03])


def test_images_that_cannot_be_measured_are_left_out_and_missed_faces_fail():
    truth = np.concatenate([TRUTH, np.full((1, 3, 2), NAN), TRUTH[:1]])
    predicted = np.concatenate([PREDICTED, PREDICTED[:1], np.full((1, 3, 2), INF)])
    errors = image_nme(truth, predicted, eye_distances(truth, FACE))
    np.testing.assert_allclose(errors, [0.05, 0.03, NAN, INF])
    assert failure_rate(errors) == pytest.approx(1 / 3)
    assert auc(errors) == pytest.approx((3 / 8 + 5 / 8 + 0) / 3)
    assert all(np.isnan(score([NAN])) for score in (nme, auc, failure_rate))


def test_auc_failures_and_the_curve_by_hand():
    errors = np.array([0.02, 0.04, 0.10, NAN])
    assert auc(errors) == pytest.approx((0.75 + 0.5 + 0) / 3)
    assert auc(errors, limit=0.2) == pytest.approx((0.9 + 0.8 + 0.5) / 3)
    assert failure_rate(errors) == pytest.approx(1 / 3)
    assert failure_rate(errors, limit=0.10) == 0
    x, shares = ced(errors, steps=5)
    np.testing.assert_allclose(x, [0, 0.02, 0.04, 0.06, 0.08])
    np.testing.assert_allclose(shares, [0, 1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert auc(np.zeros(4)) == 1 and failure_rate(np.zeros(4)) == 0
    assert np.isnan(ced(np.array([NAN]), steps=3)[1]).all()


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 0.3)))
def test_auc_is_the_area_under_the_curve(errors):
    x, shares = ced(errors, steps=20_001)
    middle = (shares[:-1] + shares[1:]) / 2
    assert auc(errors) == pytest.approx((middle * np.diff(x)).sum() / 0.08, abs=1e-4)


def test_errors_by_part_of_the_face():
    found = group_nme(TRUTH, PREDICTED, eye_distances(TRUTH, FACE), FACE)
    assert list(found) == ["eyes", "nose", "all"]
    assert found["eyes"] == pytest.approx((0.025 + 0.03) / 2)
    assert found["nose"] == pytest.approx(0.10)
    assert found["all"] == pytest.approx(0.04)
    assert np.isnan(group_nme(TRUTH[1:], PREDICTED[1:], np.array([50.0]), FACE)["nose"])


def test_the_courses_error_is_the_mean_absolute_one():
    assert pixel_mae(TRUTH, PREDICTED) == pytest.approx((3 + 4 + 10 + 1 + 2) / 10)
    assert np.isnan(pixel_mae(np.full((1, 2), NAN), np.zeros((1, 2))))


def test_all_scores_at_once():
    scores = landmark_scores(TRUTH, PREDICTED, FACE)
    assert scores == {
        "nme": pytest.approx(0.04),
        "nme_box": pytest.approx(5 / np.sqrt(4000)),
        "auc": pytest.approx((3 / 8 + 5 / 8) / 2),
        "failure_rate": 0,
        "pixel_mae": pytest.approx(2),
    }
    empty = landmark_scores(np.full((2, 15, 2), NAN), np.zeros((2, 15, 2)), KAGGLE_15)
    assert all(np.isnan(score) for score in empty.values())


def test_the_curve_as_a_picture():
    figure = ced_curve({"net": np.array([0.02, 0.03, NAN]), "mean face": np.full(3, 0.1)})
    [axes] = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == [
        "net: NME 2.50%, AUC@0.08 0.688, failures 0.0%",
        "mean face: NME 10.00%, AUC@0.08 0.000, failures 100.0%",
    ]
    assert [line.get_linestyle() for line in lines.values()] == ["-", "--"]
    assert axes.lines[0].get_ydata()[-1] == 100
    with pytest.raises(KfkdError, match="at least one predictor"):
        ced_curve({})
    with pytest.raises(KfkdError, match="none of net"):
        ced_curve({"net": np.array([NAN])})
