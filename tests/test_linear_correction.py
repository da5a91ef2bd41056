"""Linear corrections: what they learn, how they are kept, and that all that answers has them."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.cli import main
from kfkd.correction import Correction
from kfkd.corrections import (
    correction_path,
    read_corrections,
    with_correction,
    write_corrections,
)
from kfkd.ensembles.members import members_of
from kfkd.errors import DataError, KfkdError, RunError
from kfkd.exports.graph import exported_model, run_in_float32
from kfkd.learning.teaching import taught
from kfkd.linear_correction import MOST, checked_correction, corrected, fit_correction
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import Run, load_run

pytestmark = pytest.mark.usefixtures("undrawn")

MEAN = np.array([[30.0, 36.0], [66.0, 36.0], [48.0, 56.0], [40.0, 75.0], [56.0, 75.0]])


def faces_of(count, seed=0):
    """Points of faces of several shapes, places and sizes."""
    draw = np.random.default_rng(seed)
    shapes = MEAN + draw.normal(0, 2.0, (count, len(MEAN), 2))
    places, sizes = draw.uniform(-15, 15, (count, 1, 2)), draw.uniform(0.6, 1.6, (count, 1, 1))
    return 48 + sizes * (shapes - 48) + places


def habit(points):
    """Labels that lie right of the first point, the more the further left the second is."""
    about = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt(np.square(about).mean(axis=(1, 2)))
    labels = points.copy()
    labels[:, 0, 0] += 0.02 * size + 0.05 * about[:, 1, 0]
    return labels


def noisy(labels):
    """Labels as a hand puts them."""
    return labels + np.random.default_rng(9).normal(0, 0.3, labels.shape)


def error(points, labels):
    return float(np.sqrt(np.nanmean(np.square(points - labels))))


def test_what_labels_do_is_learned_for_faces_never_seen():
    seen, new = faces_of(600), faces_of(100, seed=1)
    correction = fit_correction(seen, noisy(habit(seen)))
    assert error(corrected(new, correction), habit(new)) < 0.2 * error(new, habit(new))


def test_gross_labels_and_missing_ones_do_not_harm():
    seen, new = faces_of(800), faces_of(100, seed=1)
    labels = noisy(habit(seen))
    labels[::40] += 40.0
    labels[::7, 2] = np.nan
    labels[:, 3] = np.nan
    labels[:150, 3] = seen[:150, 3] + 5
    correction = fit_correction(seen, labels)
    assert not correction[6:8].any(), "150 labels teach nothing"
    assert error(corrected(new, correction), habit(new)) < 0.5 * error(new, habit(new))
    assert fit_correction(seen[:199], habit(seen[:199])) is None


def test_answers_without_a_shape_teach_nothing():
    points = faces_of(300)
    assert fit_correction(points[:, :1], noisy(points[:, :1] + 2)) is None
    same = np.full_like(points, 48.0) + np.random.default_rng(0).normal(0, 1e-6, points.shape)
    assert fit_correction(same, noisy(points)) is None


@settings(deadline=None)
@given(zoom=st.floats(0.3, 3), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_a_face_is_corrected_alike_wherever_it_is_and_however_large(zoom, x, y):
    seen = faces_of(300)
    correction, points = fit_correction(seen, noisy(habit(seen))), faces_of(5, seed=2)
    moved = zoom * points + np.array([x, y])
    wanted = zoom * corrected(points, correction) + np.array([x, y])
    np.testing.assert_allclose(corrected(moved, correction), wanted, atol=1e-3)


@settings(deadline=None)
@given(points=st.lists(st.floats(-1e3, 1e3), min_size=10, max_size=10))
def test_no_shape_moves_a_point_far(points):
    face = np.array(points).reshape(1, 5, 2)
    wild = np.full((10, 11), 1e3)
    size = np.sqrt(np.square(face - face.mean(axis=1, keepdims=True)).mean())
    moved = corrected(face, wild) - face
    assert np.isfinite(moved).all()
    assert np.abs(moved).max() <= MOST * size + 1e-3


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((10, 10)), np.zeros((8, 9)), np.full((10, 11), np.nan), np.full((10, 11), 1e4)],
)
def test_corrections_of_others_are_refused(wrong):
    with pytest.raises(KfkdError, match="a linear correction of 5 points wants"):
        checked_correction(wrong, 5)
    with pytest.raises(KfkdError, match="int64"):
        checked_correction(np.zeros((10, 11), np.int64), 5)


def test_each_source_has_its_own(tmp_path):
    constant = np.zeros((2, 30, 31), np.float32)
    constant[0, :, -1], constant[1, :, -1] = 0.05, -0.05
    fits = {"full": Correction(constant[0]), "four_point": Correction(constant[1])}
    write_corrections(tmp_path / "all-correction.npz", fits)
    facts = {"by_source": True, "linear_correction": ["full", "four_point"]}
    run = Run(tmp_path, {"skeleton": "KAGGLE_15", "subsets": {"all": facts}})
    points = synthetic_faces(3, seed=1).keypoints
    points = np.concatenate([np.nan_to_num(points, nan=48.0), np.ones((3, 15, 1))], axis=2)
    found = with_correction(run, "all", points, np.array(["full", "four_point", "mine"]))
    assert (found[[0, 2], :, :2] > points[[0, 2], :, :2]).all()
    assert (found[1, :, :2] < points[1, :, :2]).all()
    assert (found[..., 2] == 1).all()
    alike = with_correction(run, "all", points, "four_point")
    np.testing.assert_array_equal(alike[1], found[1])


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(320, seed=3)


@pytest.fixture(scope="module")
def runs(keras_ready, faces, tmp_path_factory):
    """The same training without and with corrections, of two subsets."""
    place = tmp_path_factory.mktemp("corrections")
    given = {"epochs": 2, "quiet": True, "subsets": ["dense", "sparse"]}
    plain = kfkd.train("baseline", faces, out=place / "plain", **given)
    kinds = {"linear_correction": True, "smooth_correction": True}
    return plain, kfkd.train("baseline", faces, out=place / "own", **kinds, **given)


def test_a_training_ends_with_its_corrections(runs, faces):
    plain, own = runs
    assert own.record["settings"]["recipe"]["linear_correction"] is True
    assert "linear_correction" not in plain.record["settings"]["recipe"]
    assert own.record["subsets"]["dense"]["linear_correction"] == ["all"]
    scores = [run.metrics["model"]["kaggle_rmse"] for run in runs]
    assert scores[1] < scores[0]
    assert kfkd.evaluate(own, faces).model["kaggle_rmse"] == pytest.approx(scores[1], abs=1e-3)
    np.testing.assert_allclose(
        load_run(own.folder).predict(faces.images[:9]), own.predict(faces.images[:9]), atol=1e-4
    )


def test_a_run_is_given_them_afterwards(runs, faces, tmp_path, capsys):
    plain, own = runs
    shutil.copytree(plain.folder, tmp_path / "run")
    found = kfkd.correct(tmp_path / "run", faces)
    assert "validation images" in capsys.readouterr().err
    np.testing.assert_allclose(found.predict(faces.images), own.predict(faces.images), atol=1e-3)
    ours, theirs = (load_run(run.folder).record for run in (found, own))
    assert ours["settings"]["recipe"] == theirs["settings"]["recipe"]
    assert ours["metrics"]["model"] == pytest.approx(theirs["metrics"]["model"], abs=1e-3)
    again = kfkd.correct(found, faces, quiet=True)
    np.testing.assert_allclose(again.predict(faces.images), own.predict(faces.images), atol=1e-3)


def test_few_rows_and_other_data_are_refused(runs, faces, tmp_path):
    few = kfkd.train("baseline", faces[:60], epochs=1, out=tmp_path / "few", quiet=True)
    with pytest.raises(RunError, match="fewer than 200 training images"):
        kfkd.correct(few, faces[:60], quiet=True)
    assert "linear_correction" not in load_run(few.folder).record["settings"]["recipe"]
    with pytest.raises(DataError, match="was trained on other data"):
        kfkd.correct(runs[0], faces[:60], quiet=True)
    whole = kfkd.train(
        "baseline", faces, validation=0, epochs=1, out=tmp_path / "whole", quiet=True
    )
    with pytest.raises(DataError, match="was trained on other data"):
        kfkd.correct(whole, synthetic_faces(300, seed=9), quiet=True)
    assert kfkd.correct(whole, faces, quiet=True).metrics["on"] == "training"
    packed = kfkd.pack(runs[0], tmp_path / "packed")
    with pytest.raises(RunError, match="is a packed copy"):
        kfkd.correct(packed, faces, quiet=True)


def test_packed_copies_and_exports_have_them(runs, faces, tmp_path):
    own, images = runs[1], faces.images[:8]
    wanted = own.predict(images)
    packed = load_run(kfkd.pack(own, tmp_path / "packed"))
    assert correction_path(packed.folder, "dense").is_file()
    np.testing.assert_allclose(packed.predict(images), wanted, atol=0.1)
    bare = own.predict(images) - runs[0].predict(images)
    assert np.abs(bare).max() > 0.2
    graph = exported_model(run_in_float32(own), "full")
    np.testing.assert_allclose(graph(images)["keypoints"], wanted, atol=2e-3)


def test_absent_and_broken_files_are_named(runs, faces, tmp_path):
    folder = shutil.copytree(runs[1].folder, tmp_path / "run")
    path = correction_path(folder, "dense")
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"all": np.zeros((4, 5))}))
    with pytest.raises(RunError, match=r"dense-correction\.npz: a linear correction of 4 points"):
        load_run(folder).predict(faces.images[:2])
    path.unlink()
    with pytest.raises(RunError, match=r"dense-correction\.npz"):
        read_corrections(load_run(folder), "dense")
    record = json.loads((folder / "run.json").read_text())
    record["subsets"]["dense"]["linear_correction"] = ["../all"]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="linear corrections of dense"):
        load_run(folder)


def test_teachers_answer_with_them(runs, faces):
    dense = list(faces.skeleton.subset("dense"))
    seen = taught(faces[:9], [runs[1]], 1.0, quiet=True).keypoints
    np.testing.assert_allclose(seen, runs[1].predict(faces.images[:9]), atol=1e-3)
    assert (seen[:, dense] != runs[0].predict(faces.images[:9])[:, dense]).all()


def test_folds_that_were_corrected_go_on(tiny_zoo, tmp_path):
    faces = synthetic_faces(420, seed=3)
    asked = {"k": 3, "epochs": 1, "subsets": "all", "quiet": True, "out": tmp_path / "cv"}
    before = kfkd.cross_validate("tiny", faces, **asked)
    predicted = before.out_of_fold("tiny").predicted
    for folder in before.run_folders("tiny"):
        kfkd.correct(folder, faces, quiet=True)
    with pytest.raises(KfkdError, match=r"fold-0 answers otherwise than .*; renew them with: kfkd"):
        kfkd.submit(before.out, ensemble="weighted", out=tmp_path / "made.csv", quiet=True)
    after = kfkd.cross_validate("tiny", faces, **asked)
    assert (after.out_of_fold("tiny").predicted != predicted).any()
    scores = [one.models["tiny"]["pooled"]["all"]["model"]["all"] for one in (before, after)]
    assert scores[1] < scores[0]
    assert not any(member.stale for member in members_of(after.out))


def test_the_command_line_corrects(tmp_path, capsys):
    given = ["--epochs", "1", "--subsets", "all", "--data", "synthetic", "--quiet"]
    assert main(["train", "simple_cnn", *given, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["correct", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "run")
    assert "px, validation images" in told.err
    assert main(["correct", str(tmp_path / "none")]) == 2
