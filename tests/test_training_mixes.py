"""Training with a mix: by name, by text, by default; resumed; in fixed copies."""

from __future__ import annotations

import numpy as np
import pytest

import kfkd
from kfkd.augment import MIXES, Flip, Mix
from kfkd.augment import mix as mix_of
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.learning.settings import chosen_mix
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.registry import entries

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(80, seed=2)


def trained(faces, out, **settings):
    settings = {"subsets": "dense", "epochs": 2, "seed": 1, **settings}
    return kfkd.train("tiny", faces, out=out, quiet=True, **settings)


def weights(run):
    return np.concatenate([w.ravel() for w in run.model("dense").get_weights()])


def test_every_published_mix_is_one_and_the_studys_are_fixed_copies():
    published = [e.recipe for e in entries().values() if e.recipe.augment]
    assert all(str(mix_of(recipe.augment)) for recipe in published)
    assert {"study_4x", "study_he_blur_rotate"} <= {recipe.augment for recipe in published}
    assert all(r.copies == r.augment.startswith("study_") for r in published)


def test_a_mix_changes_what_is_learnt_and_repeats(faces, tmp_path):
    plain, first, again = (
        trained(faces, tmp_path / name, augment=mix)
        for name, mix in (("none", "none"), ("a", "light"), ("b", "light"))
    )
    assert first.record["settings"]["recipe"]["augment"] == "light"
    assert first.record["settings"]["mix"].startswith("flip(p=0.5), rotate(degrees=8)")
    np.testing.assert_array_equal(weights(first), weights(again))
    assert not np.array_equal(weights(plain), weights(first))


@pytest.mark.parametrize("mix", ["standard", "flip, noise(20)", Mix([[], [Flip()]])], ids=str)
def test_a_killed_training_goes_on_with_its_mix(faces, tmp_path, mix):
    whole = trained(faces, tmp_path / "whole", augment=mix, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        trained(faces, tmp_path / "cut", augment=mix, epochs=4, callbacks=[stop_before_epoch(2)])
    on = kfkd.resume(tmp_path / "cut", faces, quiet=True)
    assert on.record["settings"] == whole.record["settings"]
    np.testing.assert_array_equal(weights(on), weights(whole))


def stop_before_epoch(number):
    """A callback that interrupts as Ctrl-C does."""
    import keras

    def interrupt(epoch, logs):
        if epoch == number:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)


def test_a_run_of_another_mix_is_refused(faces, tmp_path):
    trained(faces, tmp_path, augment="light")
    with pytest.raises(RunError, match="augment: received strong, it has light"):
        trained(faces, tmp_path, augment="strong")


def test_a_name_that_came_to_mean_another_mix_is_refused(faces, tmp_path, monkeypatch):
    from kfkd.augment import mixes

    trained(faces, tmp_path, augment="light")
    monkeypatch.setattr(mixes, "MIXES", {**MIXES, "light": "flip"})
    with pytest.raises(RunError, match="mix: received flip, it has flip"):
        trained(faces, tmp_path, augment="light")


def test_copies_make_epochs_longer_and_leave_the_mean_face(faces, tmp_path):
    fly = trained(faces, tmp_path / "fly", augment="study_4x", batch_size=20)
    copies = trained(faces, tmp_path / "copies", augment="study_4x", batch_size=20, copies=True)
    rows = [run.record["subsets"]["dense"]["train_rows"] for run in (fly, copies)]
    assert rows[1] == 4 * rows[0]
    assert fly.record["mean_face"] == copies.record["mean_face"]
    parts = [run.record["subsets"]["dense"] for run in (fly, copies)]
    assert parts[0]["mean_face"] == parts[1]["mean_face"]


def test_runs_of_several_seeds_may_share_their_split(faces, tmp_path):
    runs = [trained(faces, tmp_path / str(s), seed=s, split_seed=5) for s in (1, 2)]
    assert runs[0].record["split"] == runs[1].record["split"]
    assert (
        runs[0].record["subsets"]["dense"]["mean_face"]
        == runs[1].record["subsets"]["dense"]["mean_face"]
    )
    assert not np.array_equal(*map(weights, runs))


@pytest.mark.parametrize(
    ("augment", "copies", "wanted"),
    [
        ("published", None, ("study_4x", True)),
        ("published", False, ("study_4x", False)),
        ("study_4x", None, ("study_4x", True)),
        ("strong", None, ("strong", False)),
        ("strong", True, ("strong", True)),
        ("none", None, (None, False)),
        (None, None, (None, False)),
        ("flip, rotate(5)", None, ("flip, rotate(degrees=5)", False)),
    ],
)
def test_copies_are_as_published_for_the_published_mix_only(augment, copies, wanted):
    recipe, mix, own = chosen_mix(entries()["study_model_2"].recipe, augment, copies)
    assert (recipe.augment, recipe.copies) == wanted
    assert own is None
    assert (mix is None) == (recipe.augment is None)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"augment": "stronk"}, UnknownName, "did you mean strong"),
        ({"augment": 7}, KfkdError, "Received: 7"),
        ({"augment": lambda i, k, s: (i, k), "copies": True}, KfkdError, "copies want a mix"),
        ({"augment": "original, frame(size=(48, 48))"}, KfkdError, "keeps the images' size"),
        ({"split_seed": -1}, KfkdError, "split_seed wants a whole number"),
    ],
)
def test_what_cannot_be_is_refused(faces, tmp_path, settings, error, says):
    with pytest.raises(error, match=says):
        trained(faces, tmp_path / "run", **settings)
