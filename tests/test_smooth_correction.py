"""Smooth corrections: what they learn, when they are kept, and that graphs give the same."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.cli import main
from kfkd.correction import CORRECTIONS, LINEAR, SMOOTH, Correction, array_names, checked, fitted
from kfkd.corrections import correction_path, fit_corrections, held, keep_corrections
from kfkd.errors import KfkdError, RunError
from kfkd.exports.correcting import corrected_points
from kfkd.exports.graph import exported_model, looking_once, run_in_float32
from kfkd.folds.answering import answers_digest
from kfkd.linear_correction import MOST
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run, save_record
from kfkd.smooth_correction import SMOOTH_ARRAYS, checked_smooth, fit_smooth
from kfkd.views import Views

pytestmark = pytest.mark.usefixtures("undrawn")

MEAN = np.array([[30.0, 36.0], [66.0, 36.0], [48.0, 56.0], [40.0, 75.0], [56.0, 75.0]])


def answers_of(count, seed=0):
    """Answers of faces of several shapes, and how much each point is doubted."""
    draw = np.random.default_rng(seed)
    points = MEAN + draw.normal(0, 2.0, (count, len(MEAN), 2))
    doubts = np.exp(draw.normal(-0.5, 0.6, (count, len(MEAN), 1)))
    return np.concatenate([points, doubts], axis=2)


def habit(answers):
    """Labels that a bent line of the shape moves, and more where a point is doubted."""
    labels = answers[..., :2].copy()
    labels[:, 0, 0] += 0.3 * np.abs(answers[:, 1, 0] - MEAN[1, 0])
    labels[:, 2, 1] += np.log(answers[:, 2, 2]).clip(-1, 1)
    return labels


def noisy(labels):
    return labels + np.random.default_rng(9).normal(0, 0.3, labels.shape)


def error(points, labels):
    return float(np.sqrt(np.nanmean(np.square(points[..., :2] - labels))))


def test_what_is_bent_and_what_doubts_tell_is_learned_for_faces_never_seen():
    seen, new = answers_of(1200), answers_of(200, seed=1)
    group = np.arange(len(seen))
    found = fit_smooth(seen, noisy(habit(seen)), group)
    assert found.doubts
    left = error(found.corrected(new), habit(new))
    assert left < 0.6 * error(new, habit(new))
    unknown = np.concatenate([seen[..., :2], np.full((*seen.shape[:2], 1), np.nan)], axis=2)
    without = fit_smooth(unknown, noisy(habit(seen)), group)
    assert not without.doubts
    assert left < error(without.corrected(new), habit(new)) < error(new, habit(new))


def test_noise_teaches_nothing_and_gross_labels_little():
    seen, new = answers_of(800), answers_of(200, seed=1)
    group = np.arange(len(seen))
    assert fit_smooth(seen, noisy(seen[..., :2]), group) is None
    labels = noisy(habit(seen))
    labels[::40] += 40.0
    labels[:, 3] = np.nan
    labels[::9, 0] = np.nan
    found = fit_smooth(seen, labels, group)
    assert not found.weights[:, 6:8].any() and not found.constant[6:8].any()
    assert error(found.corrected(new), habit(new)) < 0.9 * error(new, habit(new))
    few = slice(0, 199)
    assert fit_smooth(seen[few], labels[few], group[few]) is None
    assert fit_smooth(seen[:, :1], labels[:, :1], group) is None


@pytest.mark.parametrize("jitter", [0, 1e-4, 3e-3, 0.3])
def test_answers_in_one_place_teach_nothing(jitter):
    labels = noisy(answers_of(600)[..., :2])
    near = 48 + jitter * np.random.default_rng(3).normal(size=labels.shape)
    answers = np.concatenate([near, np.ones((*near.shape[:2], 1))], axis=2)
    assert fit_smooth(answers, labels, np.arange(600)) is None
    assert fitted(answers, labels, np.arange(600), (SMOOTH,)).kinds == ()


def test_rows_that_belong_together_prove_nothing():
    """The same 40 faces again and again: what one teaches another of its group is no proof."""
    draw = np.random.default_rng(5)
    faces = np.repeat(answers_of(40), 10, axis=0)
    group = np.repeat(np.arange(40), 10)
    labels = faces[..., :2] + np.repeat(draw.normal(0, 1.0, (40, 5, 2)), 10, axis=0)
    faces = faces + draw.normal(0, 0.01, faces.shape)
    assert fit_smooth(faces, labels, group) is None
    assert fit_smooth(faces, labels, np.arange(400)) is not None


@settings(deadline=None, max_examples=50)
@given(points=st.lists(st.floats(-1e3, 1e3), min_size=15, max_size=15))
def test_no_answer_moves_a_point_far(points):
    seen = answers_of(400)
    found = fit_smooth(seen, noisy(habit(seen)), np.arange(400))
    wild = replace(found, weights=found.weights * 1e3)
    face = np.abs(np.array(points)).reshape(1, 5, 3)
    size = np.sqrt(np.square(face[..., :2] - face[..., :2].mean(axis=1, keepdims=True)).mean())
    moved = wild.corrected(face) - face[..., :2]
    assert np.isfinite(moved).all()
    assert np.abs(moved).max() <= MOST * size + 1e-3


@pytest.mark.parametrize("kinds", [(LINEAR,), (SMOOTH,), CORRECTIONS])
def test_arrays_give_the_same_correction_again(keras_ready, kinds):
    seen, new = answers_of(900), answers_of(50, seed=1)
    found = fitted(seen, noisy(habit(seen)), np.arange(900), kinds)
    assert found and found.kinds == kinds
    arrays = found.arrays("full")
    assert [*arrays] == array_names("full", kinds)
    again = checked(arrays, "full", kinds, 5)
    np.testing.assert_allclose(again.corrected(new), found.corrected(new), atol=1e-3)
    np.testing.assert_array_equal(again.corrected(new)[..., 2], new[..., 2])
    graph = corrected_points(new.astype(np.float32), found)
    np.testing.assert_allclose(graph, found.corrected(new)[..., :2], atol=1e-3)
    unknown = np.concatenate([new[..., :2], np.full_like(new[..., :1], np.nan)], axis=2)
    graph = corrected_points(new[..., :2].astype(np.float32), found)
    np.testing.assert_allclose(graph, found.corrected(unknown)[..., :2], atol=1e-3)
    assert not Correction() and again


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("centres", np.zeros((400, 12), np.float32)),
        ("centres", np.zeros((9000, 18), np.float32)),
        ("weights", np.zeros((400, 8), np.float32)),
        ("mean", np.full(18, np.nan, np.float32)),
        ("constant", np.full(10, 1e6, np.float32)),
        ("scale", np.zeros(18, np.int64)),
    ],
)
def test_corrections_of_others_are_refused(name, wrong):
    seen = answers_of(900)
    arrays = fit_smooth(seen, noisy(habit(seen)), np.arange(900)).arrays()
    assert [*arrays] == [*SMOOTH_ARRAYS]
    with pytest.raises(KfkdError, match="a smooth correction of 5 points wants"):
        checked_smooth(arrays | {name: wrong}, 5)
    with pytest.raises(KfkdError, match="a smooth correction of 4 points wants"):
        checked_smooth(arrays, 4)


def given_habits(own, faces):
    """A run with both corrections, fitted to labels that do something of their own."""
    predicted, doubts = own.predict_with_doubt(faces.images, source=faces.source)
    bent = 0.3 * np.abs(predicted - predicted.mean(axis=0)) + np.log1p(doubts)[..., None]
    draw = np.random.default_rng(0).normal(0, 0.2, predicted.shape)
    labels = predicted + (bent + draw).astype(np.float32)
    found = fit_corrections(own, replace(faces, keypoints=labels), quiet=True)
    keep_corrections(own, found)
    save_record(own.folder, own.record)
    return own


@pytest.fixture(scope="module")
def run(keras_ready, tmp_path_factory):
    """A net with maps, mirror images and both corrections, hardly trained."""
    faces = synthetic_faces(420, seed=3)
    out = tmp_path_factory.mktemp("smooth") / "run"
    asked = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "ema": None, "augment": None}
    asked |= {"second_look": False, "options": SMALL, "quiet": True}
    return given_habits(kfkd.train("pyramid", faces, out=out, **asked), faces), faces


SMALL = {"widths": (4, 8, 8, 8), "depths": (0, 1, 1, 1), "decoder": (8, 8)}


def test_runs_keep_both_and_exports_and_copies_have_them(run, tmp_path):
    own, faces = run
    facts = own.record["subsets"]["all"]
    assert own.record["settings"]["recipe"]["smooth_correction"] is True
    assert facts[LINEAR] == facts[SMOOTH] == ["four_point"]
    assert own.corrections("all")["four_point"].smooth.doubts
    images, known = faces.images[:12], own.corrections("all")
    asked = {"images": images, "source": "four_point"}
    wanted = own.predict(**asked)
    np.testing.assert_allclose(load_run(own.folder).predict(**asked), wanted, atol=2e-3)
    linear = held(own, {"all": {k: Correction(one.linear) for k, one in known.items()}})
    assert np.abs(linear.predict(**asked) - wanted).max() > 0.05
    packed = load_run(kfkd.pack(own, tmp_path / "packed"))
    np.testing.assert_allclose(packed.predict(**asked), wanted, atol=0.1)
    graph = exported_model(run_in_float32(looking_once(own)), "four_point")
    np.testing.assert_allclose(graph(images)["keypoints"], wanted, atol=2e-3)


def test_a_run_answers_the_same_before_and_after_it_is_opened(run):
    own, _ = run
    assert answers_digest(load_run(own.folder)) == answers_digest(own)


def test_a_graph_without_views_has_the_doubts_that_are_left(keras_ready, tmp_path):
    faces = synthetic_faces(420, seed=3)
    asked = {"epochs": 2, "subsets": "dense", "quiet": True, "views": Views(flip=True)}
    own = given_habits(kfkd.train("baseline", faces, out=tmp_path / "run", **asked), faces)
    assert own.corrections("dense")["all"].smooth.doubts
    for plain in (run_in_float32(own), run_in_float32(own, views=False)):
        wanted = plain.predict(faces.images[:12])
        graph = exported_model(plain, "full")(faces.images[:12])
        np.testing.assert_allclose(graph["keypoints"], wanted, atol=2e-3)


def test_one_kind_alone_is_fitted(run, tmp_path, capsys):
    own, faces = run
    copy = shutil.copytree(own.folder, tmp_path / "copy")
    again = kfkd.correct(copy, faces, kinds=[LINEAR], quiet=True)
    recipe = again.record["settings"]["recipe"]
    assert recipe[LINEAR] is True and SMOOTH not in recipe
    assert load_run(copy).corrections("all")["four_point"].kinds == (LINEAR,)
    for wrong in ("linear", LINEAR, []):
        with pytest.raises(KfkdError, match="kinds want some of linear_correction, smooth"):
            kfkd.correct(copy, faces, kinds=wrong, quiet=True)
    assert main(["correct", str(copy), "--only", "bent"]) == 2
    assert "Received: ('bent',)" in capsys.readouterr().err
    for kind in CORRECTIONS:
        found = fit_corrections(own, faces, [kind], quiet=True)
        assert found["all"]["four_point"].kinds == (kind,)
        assert [k for k in CORRECTIONS if k in held(own, found).record["subsets"]["all"]] == [kind]


def test_broken_files_are_named(run, tmp_path):
    own, faces = run
    folder = shutil.copytree(own.folder, tmp_path / "run")
    path = correction_path(folder, "all")
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{k: v for k, v in arrays.items() if k != "four_point-weights"})
    with pytest.raises(RunError, match=r"all-correction\.npz"):
        load_run(folder).predict(faces.images[:2])
    np.savez(path, **(arrays | {"four_point-weights": arrays["four_point-weights"][:, :4]}))
    with pytest.raises(RunError, match=r"all-correction\.npz: a smooth correction of 15 points"):
        load_run(folder).predict(faces.images[:2])
    record = json.loads((folder / "run.json").read_text())
    record["subsets"]["all"]["smooth_correction"] = ["../all"]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="smooth corrections of all"):
        load_run(folder)
