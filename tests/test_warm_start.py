"""Learning from other runs: their weights to start from, their answers for missing labels."""

from __future__ import annotations

import numpy as np
import pytest

import kfkd
from kfkd.errors import KfkdError, RunError
from kfkd.ladders.changes import changes_of
from kfkd.learning import fitting
from kfkd.learning.teaching import taught
from kfkd.pipelines.device_steps import training_steps
from kfkd.pipelines.synthetic import synthetic_faces

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=8)


@pytest.fixture(scope="module")
def first(keras_ready, faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("start") / "first"
    return kfkd.train("baseline", faces, subsets="all", epochs=2, out=out, quiet=True)


def test_a_training_begins_where_another_ended(first, faces, tmp_path):
    given = {"subsets": "all", "epochs": 1, "learning_rate": 1e-7, "quiet": True}
    run = kfkd.train("baseline", faces, start=first, out=tmp_path / "next", **given)
    np.testing.assert_allclose(run.predict(faces.images), first.predict(faces.images), atol=0.3)
    assert run.record["settings"]["start"] == str(first.folder)
    assert kfkd.train("baseline", faces, start=first, out=tmp_path / "next", **given).finished
    with pytest.raises(RunError, match="other settings"):
        kfkd.train("baseline", faces, out=tmp_path / "next", **given)


def test_the_same_seed_draws_on_where_the_other_ended(first, faces, tmp_path, monkeypatch):
    drawn = []

    def watched(*args, first_epoch, epochs, **kwargs):
        drawn.append((first_epoch, epochs))
        return training_steps(*args, first_epoch=first_epoch, epochs=epochs, **kwargs)

    monkeypatch.setattr(fitting, "training_steps", watched)
    given = {"subsets": "all", "epochs": 1, "quiet": True}
    second = kfkd.train("baseline", faces, start=first, out=tmp_path / "second", **given)
    third = kfkd.train("baseline", faces, start=second, out=tmp_path / "third", **given)
    assert drawn == [(2, 3), (3, 4)]
    assert third.record["subsets"]["all"]["epochs_before"] == 3
    assert kfkd.load_run(third.folder).finished


def test_layers_for_other_keypoints_begin_at_random(first, faces, tmp_path, capfd):
    given = {"subsets": "dense", "epochs": 1, "learning_rate": 1e-9}
    run = kfkd.train("baseline", faces, start=str(first.folder), out=tmp_path / "dense", **given)
    assert "begins with" in capfd.readouterr().err
    ours, theirs = run.model("dense"), first.model("all")
    kernels = [model.layers[2].get_weights()[0] for model in (ours, theirs)]
    np.testing.assert_allclose(*kernels, atol=1e-5)
    assert ours.output_shape == (None, 8)


@pytest.mark.parametrize("other", [{"seed": 1}, {"validation": 0.4}, {"fold": (1, 3)}])
def test_images_that_were_learned_are_not_measured_on(first, faces, tmp_path, other):
    with pytest.raises(RunError, match="has learned images"):
        kfkd.train("baseline", faces, start=first, out=tmp_path / "no", quiet=True, **other)
    same = {"seed": 1, "split_seed": 0, "subsets": "all", "epochs": 1, "quiet": True}
    assert kfkd.train("baseline", faces, start=first, out=tmp_path / "yes", **same).finished


def test_all_rows_may_be_learned_at_last(first, faces, tmp_path):
    given = {"subsets": "all", "validation": 0, "epochs": 1, "quiet": True}
    run = kfkd.train("baseline", faces, start=first, out=tmp_path / "all", **given)
    assert run.record["split"]["validation"] == 0


def test_other_nets_are_refused(first, faces, tmp_path):
    with pytest.raises(RunError, match="same entry and options"):
        kfkd.train("simple_cnn", faces, start=first, out=tmp_path / "no", quiet=True)


def test_teachers_fill_in_missing_labels(first, faces):
    seen, labels = first.predict(faces.images), faces.keypoints
    missing = np.isnan(labels)
    assert missing.any()
    learned = taught(faces, [first], 0.0, quiet=True).keypoints
    np.testing.assert_array_equal(learned[~missing], labels[~missing])
    np.testing.assert_allclose(learned[missing], seen[missing], atol=1e-4)
    learned = taught(faces, [first, first], 0.25, quiet=True).keypoints
    wanted = np.where(missing, seen, 0.75 * labels + 0.25 * seen)
    np.testing.assert_allclose(learned, wanted, atol=1e-4)


def test_a_teacher_is_part_of_the_settings(first, faces, tmp_path):
    given = {"subsets": "all", "epochs": 1, "learning_rate": 1e-7, "quiet": True}
    given |= {"teachers": [first], "teacher_share": 1.0}
    run = kfkd.train("baseline", faces, start=first, out=tmp_path / "student", **given)
    assert run.record["settings"]["teachers"] == [str(first.folder)]
    assert {"teacher_share=1", f"teachers={first.folder.name}"} <= set(changes_of(run))
    assert kfkd.train("baseline", faces, start=first, out=tmp_path / "student", **given).finished
    # What it learned is what the teacher says, which it says already.
    assert run.history()["all"][0]["rmse"] < 0.5


def test_teachers_have_not_seen_what_is_held_out(first, faces, tmp_path):
    given = {"subsets": "all", "epochs": 1, "quiet": True, "out": tmp_path / "no"}
    with pytest.raises(RunError, match="has learned images"):
        kfkd.train("baseline", faces, teachers=first, seed=1, **given)
    with pytest.raises(RunError, match="cannot teach left_eye_center_by_four_point"):
        kfkd.train("pyramid", faces, teachers=first, **given)
    for wrong in (
        {"teachers": ()},
        {"teacher_share": 0.5},
        {"teachers": first, "teacher_share": 2},
    ):
        with pytest.raises(KfkdError, match="teacher"):
            kfkd.train("baseline", faces, **wrong, **given)
