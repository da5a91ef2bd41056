import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.augment.draws import Draws
from kfkd.codecs import Coordinates
from kfkd.errors import KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.pipelines.batches import epoch_order, evaluation_batches, rows_for, training_batches
from kfkd.pipelines.splits import folds, group_shares, grouped_split
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.skeletons import KAGGLE_15

BATCH = 4
SEEDS = st.integers(0, 2**31 - 1)
GROUPS = st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=60)
SHARES = st.floats(0.01, 0.99)


def bare_faces(groups):
    n = len(groups)
    return FaceSet(
        images=np.zeros((n, 1, 1, 1), np.uint8),
        keypoints=np.zeros((n, 15, 2), np.float32),
        skeleton=KAGGLE_15,
        source=np.full(n, "full"),
        group=np.array(groups, np.uint64),
        ids=np.arange(1, n + 1),
    )


def held_out_groups(faces, share, seed):
    return set(faces.group[grouped_split(faces, share, seed)[1]].tolist())


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(30, seed=2)


@pytest.fixture
def batches_of(faces, keras_ready):
    def make(batch_size=BATCH, **settings):
        found = training_batches(settings.pop("faces", faces), batch_size, **settings)
        return [(np.asarray(images), np.asarray(targets)) for images, targets in found]

    return make


# Splits


@given(GROUPS, SHARES, SEEDS)
def test_a_split_partitions_the_rows_and_no_group_straddles_it(groups, share, seed):
    assume(len(set(groups)) > 1)
    faces = bare_faces(groups)
    train, validation = grouped_split(faces, share, seed)
    assert len(train) and len(validation)
    assert sorted([*train, *validation]) == list(range(len(faces)))
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    assert not set(faces.group[train]) & set(faces.group[validation])


@given(GROUPS, SHARES, SEEDS, st.data())
def test_a_split_does_not_depend_on_the_order_of_the_rows(groups, share, seed, data):
    assume(len(set(groups)) > 1)
    shuffled = data.draw(st.permutations(groups))
    before = held_out_groups(bare_faces(groups), share, seed)
    assert held_out_groups(bare_faces(shuffled), share, seed) == before


@given(GROUPS, GROUPS, SHARES, SEEDS)
def test_more_rows_move_no_group_to_the_other_side(groups, more, share, seed):
    shares = group_shares(np.array(groups, np.uint64), seed)
    # Outside this one side would be empty, and its nearest group is moved there.
    assume(shares.min() < share <= shares.max())
    before = held_out_groups(bare_faces(groups), share, seed)
    after = held_out_groups(bare_faces(groups + more), share, seed)
    assert after & set(groups) == before


def test_seeds_give_different_splits_near_the_share():
    faces = bare_faces(range(1000))
    splits = [held_out_groups(faces, 0.2, seed) for seed in range(20)]
    assert len({frozenset(split) for split in splits}) == 20
    assert all(abs(len(split) - 200) < 80 for split in splits)
    assert splits[3] == held_out_groups(faces, 0.2, 3)


def test_no_validation_holds_nothing_out(faces):
    train, validation = grouped_split(faces, 0, 0)
    assert len(train) == len(faces) and not len(validation)


def test_of_persons_the_share_is_exact(layouts, tmp_path):
    faces = kfkd.load_faces("imm", layouts.write_imm(tmp_path, persons=10, poses=2), quiet=True)
    for seed in range(3):
        train, validation = grouped_split(faces, 0.2, seed)
        assert len(np.unique(faces.group[validation])) == 2
        assert len(train) == 16
        assert np.bincount(folds(faces, 5, seed)).tolist() == [4] * 5
    first, other = (set(grouped_split(faces, 0.5, seed)[1]) for seed in (0, 1))
    assert first != other


@pytest.mark.parametrize("share", [-0.1, 1.0, 3])
def test_a_share_outside_its_range_is_refused(faces, share):
    with pytest.raises(KfkdError, match=r"share lies in \[0, 1\)"):
        grouped_split(faces, share, 0)


def test_one_group_cannot_be_split():
    with pytest.raises(KfkdError, match="at least two different images"):
        grouped_split(bare_faces([7, 7, 7]), 0.5, 0)


@given(GROUPS, st.integers(2, 12), SEEDS)
def test_folds_partition_the_groups(groups, k, seed):
    faces = bare_faces(groups)
    numbers = folds(faces, k, seed)
    assert numbers.shape == (len(faces),)
    assert numbers.min() >= 0 and numbers.max() < k
    assert all(len(set(numbers[faces.group == g])) == 1 for g in faces.group)


def test_folds_are_of_like_size_and_a_folds_rows_want_two():
    counts = np.bincount(folds(bare_faces(range(1000)), 5, 0), minlength=5)
    assert counts.min() > 140
    with pytest.raises(KfkdError, match="at least 2 folds"):
        folds(bare_faces([1, 2]), 1, 0)


# Order


@given(st.integers(1, 200), st.integers(1, 64), SEEDS, st.integers(0, 10**6))
def test_an_epoch_shows_every_row_in_batches_of_one_shape(n, batch_size, seed, epoch):
    order = epoch_order(n, batch_size, seed, epoch)
    assert order.shape == (-(-n // batch_size), batch_size)
    assert set(order.ravel()) == set(range(n))
    assert len(set(order.ravel()[:n])) == n
    np.testing.assert_array_equal(order, epoch_order(n, batch_size, seed, epoch))


def test_epochs_and_seeds_are_shuffled_differently():
    orders = [epoch_order(100, 10, seed, epoch) for seed in range(5) for epoch in range(5)]
    assert len({order.tobytes() for order in orders}) == 25


# Rows


def test_rows_that_teach_a_subset():
    keypoints = np.full((4, 15, 2), np.nan, np.float32)
    dense = list(KAGGLE_15.subset("dense"))
    keypoints[0] = 1  # complete
    keypoints[1, dense] = 1  # four points
    keypoints[2, 10, 0] = 1  # half a nose
    faces = bare_faces(range(4))
    faces.keypoints[:] = keypoints
    assert rows_for(faces, "dense").tolist() == [0, 1, 2]
    assert rows_for(faces, "sparse").tolist() == [0]
    assert rows_for(faces, "all").tolist() == [0, 1, 2]
    assert rows_for(faces, "dense", drop_incomplete=True).tolist() == [0, 1]
    assert rows_for(faces, "all", drop_incomplete=True).tolist() == [0]


# Batches


def test_batches_have_static_shapes_and_uint8_images(faces, keras_ready):
    def spec(batches):
        """Shapes and types, for tf.data what is known of them before any batch is made."""
        batch = getattr(batches, "element_spec", None) or batches[0]
        return [(*a.shape, keras.backend.standardize_dtype(a.dtype)) for a in batch]

    images, targets = spec(training_batches(faces, BATCH, subset="dense"))
    assert images == (BATCH, 96, 96, 1, "uint8") and targets == (BATCH, 8, "float32")
    images, targets = spec(training_batches(faces[:3], 50))
    assert images == (3, 96, 96, 1, "uint8") and targets == (3, 30, "float32")


def test_batches_are_the_rows_of_the_epochs_orders(faces, batches_of):
    batches = batches_of(seed=5, epochs=2)
    orders = np.concatenate([epoch_order(len(faces), BATCH, 5, epoch) for epoch in (0, 1)])
    assert len(batches) == len(orders) == 16
    assert np.isnan(faces.keypoints).any()
    for (images, targets), rows in zip(batches, orders, strict=True):
        np.testing.assert_array_equal(images, faces.images[rows])
        np.testing.assert_array_equal(targets, faces.keypoints[rows].reshape(BATCH, 30))


@pytest.mark.parametrize("subset", ["dense", "sparse", "all"])
def test_targets_are_the_subsets_columns_encoded(faces, batches_of, subset):
    codec = Coordinates(48.0, 48.0)
    rows = epoch_order(len(faces), BATCH, 0, 0)[0]
    wanted = faces.keypoints[rows][:, list(KAGGLE_15.subset(subset))]
    targets = batches_of(subset=subset, codec=codec)[0][1]
    np.testing.assert_allclose(targets, (wanted.reshape(BATCH, -1) - 48) / 48, rtol=1e-6)


def noisy(images, keypoints, seed):
    rows = np.arange(len(keypoints), dtype=np.int32)
    return 255 - images, keypoints + Draws(seed, rows).uniform(0, 1, *keypoints.shape[1:])


@pytest.mark.parametrize("augment", [None, noisy])
@pytest.mark.parametrize("first", [1, 2])
def test_going_on_from_an_epoch_equals_the_tail_of_the_whole(batches_of, augment, first):
    whole = batches_of(seed=3, epochs=3, augment=augment)
    tail = batches_of(seed=3, first_epoch=first, epochs=3, augment=augment)
    assert len(whole) == 24 and len(tail) == 8 * (3 - first)
    for (images, targets), (tail_images, tail_targets) in zip(
        whole[8 * first :], tail, strict=True
    ):
        np.testing.assert_array_equal(images, tail_images)
        np.testing.assert_array_equal(targets, tail_targets)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="other backends draw as they go")
def test_a_long_training_has_the_same_batches_drawn_epoch_by_epoch(batches_of, monkeypatch):
    listed = batches_of(first_epoch=1, epochs=4, seed=5)
    monkeypatch.setattr("kfkd.pipelines.batches._LISTED", 1)
    for batch, same in zip(batches_of(first_epoch=1, epochs=4, seed=5), listed, strict=True):
        for part, other in zip(batch, same, strict=True):
            np.testing.assert_array_equal(part, other)


def test_augmentation_sees_all_keypoints_and_a_seed_of_its_own_each_step(batches_of):
    seen = []

    def tell_seed(images, keypoints, seed):
        seen.append(
            (tuple(images.shape), images.dtype.name, tuple(keypoints.shape), seed.dtype.name)
        )
        return images, keras.ops.zeros_like(keypoints) + keras.ops.cast(seed, "float32")

    batches = batches_of(subset="dense", seed=6, epochs=2, augment=tell_seed)
    assert set(seen) == {((BATCH, 96, 96, 1), "uint8", (BATCH, 15, 2), "int32")}
    seeds = [tuple(targets[0, :2]) for _, targets in batches]
    assert seeds == [(6, step) for step in range(16)]


def test_augmentation_changes_what_is_learnt_and_repeats_with_the_seed(faces, batches_of):
    rows = epoch_order(len(faces), BATCH, 1, 0)[0]
    first, again, other = (batches_of(seed=s, augment=noisy)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first[0], 255 - faces.images[rows])
    noise = first[1] - faces.keypoints[rows].reshape(BATCH, 30)
    assert 0 <= np.nanmin(noise) < np.nanmax(noise) <= 1
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1], equal_nan=True)


def test_the_subset_is_taken_after_the_augmentation(faces, batches_of):
    def reverse(images, keypoints, seed):
        return images, keypoints[:, ::-1]

    rows = epoch_order(len(faces), BATCH, 0, 0)[0]
    reversed_points = faces.keypoints[rows][:, ::-1][:, list(KAGGLE_15.subset("dense"))]
    targets = batches_of(subset="dense", augment=reverse)[0][1]
    np.testing.assert_array_equal(targets, reversed_points.reshape(BATCH, 8))


def test_what_cannot_be_batched_is_refused(faces):
    with pytest.raises(KfkdError, match="0 rows"):
        training_batches(faces[:0], 4)
    with pytest.raises(KfkdError, match="batch_size=0"):
        training_batches(faces, 0)


def test_an_unknown_subset_is_refused(faces, keras_ready):
    with pytest.raises(UnknownName, match="called 'half'"):
        training_batches(faces, 4, subset="half")


def test_evaluation_keeps_order_and_every_row_once(faces, keras_ready):
    batches = list(evaluation_batches(faces, 8, subset="sparse"))
    assert [len(images) for images, _ in batches] == [8, 8, 8, 6]
    images, targets = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(images, faces.images)
    wanted = faces.keypoints[:, list(KAGGLE_15.subset("sparse"))].reshape(30, 22)
    np.testing.assert_array_equal(targets, wanted)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12))
def test_batches_number_as_the_rows_need(keras_ready, n, batch_size):
    batches = training_batches(synthetic_faces(n), batch_size, epochs=2)
    assert len(batches) == 2 * -(-n // min(n, batch_size))
