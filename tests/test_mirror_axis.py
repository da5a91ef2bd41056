"""Labels beside the axis of mirror images: measured, learned centred, answered as they are."""

from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.by_source import split_sources
from kfkd.errors import KfkdError
from kfkd.mirror_axis import labels_beside_axis
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")

EVERY = range(15)


def both_sides(faces):
    """Faces and their mirror images, labels mirrored about the images' middle."""
    turned = faces.keypoints[:, list(faces.skeleton.mirror)].copy()
    turned[..., 0] = faces.images.shape[2] - 1 - turned[..., 0]
    return replace(
        faces,
        images=np.concatenate([faces.images, faces.images[:, :, ::-1]]),
        keypoints=np.concatenate([faces.keypoints, turned]),
        **{name: np.concatenate([getattr(faces, name)] * 2) for name in ("source", "group", "ids")},
    )


def moved(faces, right):
    return replace(faces, keypoints=faces.keypoints + np.array([right, 0], np.float32))


@pytest.fixture(scope="module")
def even():
    return both_sides(synthetic_faces(150, seed=3))


@pytest.mark.parametrize("right", [0.0, 0.4, 1.2, -2.5])
def test_a_move_to_one_side_is_found(even, right):
    assert labels_beside_axis(moved(even, right), EVERY) == pytest.approx(right, abs=0.03)


def test_points_that_are_not_labelled_do_not_count(even):
    some = even.keypoints + np.array([0.7, 0], np.float32)
    some[::2, :9] = np.nan
    some[:, 13] = np.nan
    found = labels_beside_axis(replace(even, keypoints=some), EVERY)
    assert found == pytest.approx(0.7, abs=0.05)


def test_too_few_labels_or_flat_images_say_nothing(even):
    assert labels_beside_axis(moved(even[:20], 2.0), EVERY) == 0
    assert labels_beside_axis(moved(even[:0], 2.0), EVERY) == 0
    flat = replace(even, images=np.full_like(even.images, 90))
    assert labels_beside_axis(moved(flat, 2.0), EVERY) == 0


def test_colours_and_size_do_not_matter(even):
    faces = moved(even, 0.9)
    grey = labels_beside_axis(faces, EVERY)
    coloured = replace(faces, images=np.repeat(faces.images, 3, axis=3))
    assert labels_beside_axis(coloured, EVERY) == grey
    large = np.repeat(np.repeat(faces.images[:100], 2, axis=1), 2, axis=2)
    labels = 2 * faces.keypoints[:100] + np.float32(0.5)
    found = labels_beside_axis(replace(faces[:100], images=large, keypoints=labels), EVERY)
    assert found / 2 == pytest.approx(0.9, abs=0.06)


def test_labels_of_anything_are_no_move(even):
    drawn = np.random.default_rng(0).uniform(20, 75, even.keypoints.shape).astype(np.float32)
    assert abs(labels_beside_axis(replace(even, keypoints=drawn), EVERY)) <= 4


def test_a_point_without_its_partner_does_not_count(even):
    faces = moved(even, 0.8)
    tip = labels_beside_axis(faces, [10])
    assert tip == pytest.approx(0.8, abs=0.1)
    assert labels_beside_axis(faces, [0, 10]) == tip
    assert labels_beside_axis(faces, [0]) == 0


def test_a_centred_net_learns_moved_labels_and_answers_as_they_are(even, tmp_path):
    faces = moved(even, 1.5)
    settings = {"epochs": 1, "subsets": "all", "quiet": True, "augment": "flip"}
    run = kfkd.train("tiny", faces, **settings, centre_labels=True, out=tmp_path / "centred")
    offset = run.label_offset("all")
    assert len({*offset[:, 0].tolist()}) == 1 and not offset[:, 1].any()
    assert offset[0, 0] == pytest.approx(1.5, abs=0.05)
    beside = replace(faces, keypoints=(faces.keypoints - offset).astype(np.float32))
    plain = kfkd.train("tiny", beside, **settings, out=tmp_path / "plain")
    assert not plain.label_offset("all").any()
    assert not {"centre_labels", "second_look"} & {*plain.record["settings"]["recipe"]}
    for key in ("rmse", "val_rmse"):
        assert run.history()["all"][0][key] == plain.history()["all"][0][key]
    answered = plain.predict(faces.images[:8]) + offset
    np.testing.assert_allclose(run.predict(faces.images[:8]), answered, atol=1e-4)
    # Scores are those of labels as they are.
    both = run.metrics["model"]["all"], plain.metrics["model"]["all"]
    assert both[0] == pytest.approx(both[1], abs=1e-3)
    np.testing.assert_array_equal(load_run(run.folder).label_offset("all"), offset)


@pytest.mark.slow
def test_each_source_is_centred_by_itself(tmp_path):
    faces = both_sides(synthetic_faces(120, seed=5))
    four = np.arange(len(faces)) % 2 == 0
    labels = faces.keypoints.copy()
    labels[four] += np.array([2.0, 0], np.float32)
    labels[np.ix_(four, [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13])] = np.nan
    faces = replace(faces, keypoints=labels, source=np.where(four, "four_point", "full"))
    run = kfkd.train(
        "pyramid",
        faces,
        epochs=1,
        batch_size=96,
        options={"widths": (4, 4, 4, 4), "decoder": (4, 4)},
        augment=None,
        out=tmp_path / "run",
        quiet=True,
    )
    offset = run.label_offset("all")[:, 0]
    np.testing.assert_allclose(offset[:15], offset[0])
    np.testing.assert_allclose(offset[15:], offset[15])
    split = split_sources(faces)
    every = [labels_beside_axis(split, split.skeleton.subset(s)) for s in ("full", "four_point")]
    np.testing.assert_allclose(offset[[0, 15]], every, atol=0.2)
    assert offset[15] - offset[0] == pytest.approx(2, abs=0.3)


def test_it_is_yes_or_no(even, tmp_path):
    with pytest.raises(KfkdError, match=r"centre_labels wants True or False\. Received: 0\.5"):
        kfkd.train("tiny", even, centre_labels=0.5, out=tmp_path / "run")
