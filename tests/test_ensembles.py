from __future__ import annotations

import doctest
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kfkd.ensembles.averaging import averaged
from kfkd.errors import KfkdError, UnknownName
from kfkd.submissions import ensembles
from kfkd.submissions.ensembles import ambiguity, combine

PIXELS = st.one_of(st.floats(-200, 300), st.just(np.nan))


@st.composite
def some_members(draw, least=1):
    """Members (n, k, 2), each predicting something, with holes."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)), 2)
    member = hnp.arrays(np.float64, shape, elements=PIXELS).filter(lambda a: not np.isnan(a).all())
    return draw(st.lists(member, min_size=least, max_size=5))


def weights_for(members, how):
    return [i + 1 for i in range(len(members))] if how == "weighted" else None


@pytest.mark.parametrize("how", ["mean", "median"])
@settings(deadline=None)
@given(data=st.data())
def test_the_order_of_members_does_not_matter(how, data):
    members = data.draw(some_members())
    shuffled = data.draw(st.permutations(members))
    np.testing.assert_allclose(combine(members, how), combine(shuffled, how), atol=1e-9)


@settings(deadline=None)
@given(members=some_members(), data=st.data())
def test_weights_move_with_their_members(members, data):
    weights = data.draw(
        st.lists(st.floats(0.1, 9), min_size=len(members), max_size=len(members)), label="weights"
    )
    order = data.draw(st.permutations(range(len(members))))
    moved = combine([members[i] for i in order], "weighted", [weights[i] for i in order])
    np.testing.assert_allclose(combine(members, "weighted", weights), moved, atol=1e-9)


@pytest.mark.parametrize("how", ["mean", "median", "weighted"])
@settings(deadline=None)
@given(members=some_members(), copies=st.integers(1, 5))
def test_identical_members_give_themselves(how, members, copies):
    same = members[:1] * copies
    np.testing.assert_allclose(combine(same, how, weights_for(same, how)), same[0], atol=1e-9)


@pytest.mark.parametrize("how", ["mean", "median", "weighted"])
@settings(deadline=None)
@given(members=some_members())
def test_nan_only_where_no_member_predicts_and_values_between_the_members(how, members):
    before = [member.copy() for member in members]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = combine(members, how, weights_for(members, how))
    stack = np.stack(members)
    known = ~np.isnan(stack).all(axis=0)
    assert (np.isnan(result) == ~known).all()
    assert (result[known] >= np.fmin.reduce(stack)[known] - 1e-9).all()
    assert (result[known] <= np.fmax.reduce(stack)[known] + 1e-9).all()
    for member, copy in zip(members, before, strict=True):
        np.testing.assert_array_equal(member, copy)


@settings(deadline=None)
@given(members=some_members())
def test_equal_weights_are_the_mean_and_the_scale_of_weights_does_not_matter(members):
    for weight in (1, 7.5, 1e-300):
        weighted = combine(members, "weighted", [weight] * len(members))
        np.testing.assert_allclose(weighted, combine(members), atol=1e-9)


@settings(deadline=None)
@given(members=some_members())
def test_mean_and_median_agree_with_numpy(members):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, median = np.nanmean(members, axis=0), np.nanmedian(members, axis=0)
    np.testing.assert_allclose(combine(members, "mean"), mean, atol=1e-9)
    np.testing.assert_allclose(combine(members, "median"), median, atol=1e-9)


@settings(deadline=None)
@given(members=some_members(), truth=st.floats(-200, 300), data=st.data())
def test_ambiguity_is_what_the_mean_wins_whatever_the_truth(members, truth, data):
    number = st.sampled_from([0.0, 0.5, 1.0, 7.0])
    size = len(members)
    weights = data.draw(st.none() | st.lists(number, min_size=size, max_size=size).filter(any))
    how = "mean" if weights is None else "weighted"
    shares = np.ones(size) if weights is None else np.array(weights)
    errors = np.square(np.stack(members) - truth)
    present = ~np.isnan(errors) * shares.reshape(-1, 1, 1, 1)
    # Members without a weight count where they are alone.
    present = np.where(present.any(axis=0), present, ~np.isnan(errors))
    with np.errstate(invalid="ignore"):  # no member predicts: 0 / 0
        average = np.nansum(errors * present, axis=0) / present.sum(axis=0)
    mean = np.square(combine(members, how, weights) - truth)
    np.testing.assert_allclose(average - mean, ambiguity(members, weights), atol=1e-6)


def test_ambiguity_is_nothing_where_one_member_is_alone():
    alone = ambiguity([np.array([[[3.0, 5.0]]]), np.array([[[7.0, np.nan]]])])
    np.testing.assert_array_equal(alone, [[[4.0, 0.0]]])
    with pytest.raises(KfkdError, match="at least one prediction"):
        ambiguity([])


def test_each_member_counts_the_same_however_many_nets_it_has():
    first, second, other = (np.full((1, 1, 2), x) for x in (0.0, 6.0, 9.0))
    mean = averaged([[first, second], [other]])
    # Their mean is (3 + 9) / 2 = 6, its distances 6, 0 and 3, with weights of 1/4, 1/4 and 1/2.
    np.testing.assert_allclose(mean.ambiguity, 36 / 4 + 9 / 2)
    assert mean.nets == 3
    assert averaged([[first]]) is None
    assert averaged([[first], [other]], [0, 2]) is None


def test_where_a_net_without_weight_is_alone_averaging_wins_nothing():
    dense = [[np.array([[[x, x], [np.nan, np.nan]]])] for x in (3.0, 5.0)]
    whole = [[np.full((1, 2, 2), x)] for x in (1.0, 9.0)]
    mean = averaged(dense + whole, [1, 1, 0, 0])
    np.testing.assert_array_equal(mean.ambiguity, [[[1.0, 1.0], [0.0, 0.0]]])
    assert mean.nets == 2


def test_a_dense_model_and_one_for_all_points():
    dense = np.array([[[10.0, 20.0], [np.nan, np.nan]]])
    full = np.array([[[20.0, 40.0], [5.0, 6.0]]])
    np.testing.assert_allclose(combine([dense, full]), [[[15, 30], [5, 6]]])
    np.testing.assert_allclose(combine([dense, full], "weighted", [3, 1]), [[[12.5, 25], [5, 6]]])


def test_a_member_without_weight_counts_only_where_it_is_alone():
    dense = np.array([[[10.0, 20.0], [np.nan, np.nan]]])
    full = np.array([[[20.0, 40.0], [5.0, 6.0]]])
    np.testing.assert_allclose(combine([dense, full], "weighted", [1, 0]), [[[10, 20], [5, 6]]])


@pytest.mark.parametrize(("given_type", "wanted"), [("f2", "f4"), ("f4", "f4"), ("f8", "f8")])
def test_the_type_stays_and_is_float32_at_least(given_type, wanted):
    assert combine([np.ones((1, 2, 2), given_type)]).dtype == np.dtype(wanted)


def test_no_images_give_no_predictions():
    assert combine([np.ones((0, 15, 2))] * 2).shape == (0, 15, 2)


ONE = np.ones((2, 3, 2))
BAD = {
    "none": ([], "mean", None, "at least one"),
    "shape": ([ONE, ONE[:1]], "mean", None, "member 1 .*Received: \\(1, 3, 2\\)"),
    "flat": ([ONE[0]], "mean", None, "member 0 wants the shape \\(n, k, 2\\)"),
    "text": ([ONE.astype(str)], "mean", None, "member 0 wants floats"),
    "infinite": ([ONE, ONE * -np.inf], "median", None, "member 1 holds 12 infinite"),
    "all NaN": ([ONE, ONE, ONE * np.nan], "mean", None, "member 2 predicts nothing"),
    "no weights": ([ONE], "weighted", None, "1 weights"),
    "number": ([ONE, ONE], "weighted", [1], "2 members want 2 weights"),
    "one number": ([ONE], "weighted", 1.0, "Received: 1.0"),
    "words": ([ONE], "weighted", ["a"], "weights want numbers. Received: \\['a'\\]"),
    "negative": ([ONE, ONE], "weighted", [1, -1], "from 0 up"),
    "zero": ([ONE, ONE], "weighted", [0, 0], "not all 0"),
    "NaN weight": ([ONE, ONE], "weighted", [1, np.nan], "finite"),
    "for nothing": ([ONE], "mean", [1], "weights are for"),
}


@pytest.mark.parametrize(("members", "how", "weights", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused_by_name(members, how, weights, message):
    with pytest.raises(KfkdError, match=message):
        combine(members, how, weights)


def test_an_unknown_way_names_the_known_ones():
    with pytest.raises(UnknownName, match="median"):
        combine([ONE], "medain")


def test_the_example_runs():
    assert doctest.testmod(ensembles).failed == 0
