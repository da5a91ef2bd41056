"""kfkd analyse: the tables add up, several runs answer as one, pictures are written."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kfkd
from kfkd.analysing import Analysis
from kfkd.analysis.bins import face_properties, quarters, sharpness
from kfkd.analysis.measures import tail_of
from kfkd.cli import main
from kfkd.errors import DataError, KfkdError, RunError
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run
from kfkd.skeletons import IBUG_68
from kfkd.views import Views

NAN = float("nan")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(160, seed=3)


@pytest.fixture(scope="module")
def trained(tiny_zoo, tmp_path_factory, faces):
    """Trains "tiny" into a folder of its own."""
    home = tmp_path_factory.mktemp("runs")

    def make(name, data=faces, **settings):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
            given = {"subsets": ["all"], "epochs": 1, "out": home / name, "quiet": True}
            return kfkd.train("tiny", data, **{**given, **settings})

    return make


@pytest.fixture(scope="module")
def run(trained):
    return trained("one", validation=0.5, views=Views(flip=True))


@pytest.fixture(scope="module")
def plain(trained):
    """A run without doubt, on the same split."""
    return trained("plain", validation=0.5, split_seed=0, seed=5)


@pytest.fixture(scope="module")
def found(run, faces, tmp_path_factory):
    return kfkd.analyse(run, faces, out=tmp_path_factory.mktemp("out"), worst=6, quiet=True)


# One run


def test_scores_are_those_of_evaluate(found, run, faces):
    scores = kfkd.evaluate(run, faces, quiet=True)
    assert found.runs == ("one",)
    assert found.scores.model == scores.model
    assert found.scores.mean_per_source == scores.mean_per_source
    assert len(found.scores.worst) == 6


def test_keypoints_and_sources_add_up(found):
    cells = [cell for row in found.keypoints.values() for cell in row.values()]
    assert set(found.keypoints["nose_tip"]) == {"full", "four_point"}
    assert "nme" not in cells[0]
    values = np.array([cell["values"] for cell in cells])
    assert values.sum() == found.scores.values
    for key, scores in (("rmse", found.scores.model), ("mean_face", found.scores.mean_per_source)):
        squares = np.array([cell[key] for cell in cells]) ** 2
        assert np.sqrt((values * squares).sum() / values.sum()) == pytest.approx(
            scores["all"], abs=1e-3
        )


def test_every_quarter_has_its_share(found):
    assert list(found.bins) == [
        "size",
        "roll",
        "yaw",
        "sharpness",
        "brightness",
        "contrast",
        "off_centre",
    ]
    for name in ("sharpness", "brightness", "contrast", "off_centre"):
        rows = found.bins[name]
        assert sum(row["images"] for row in rows) == found.scores.images
        assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-4)
        assert all(one["high"] == other["low"] for one, other in pairwise(rows))


def test_tail_and_percentiles(found):
    shares = [row["share"] for row in found.tail]
    assert shares == sorted(shares)
    assert found.tail[0]["images"] == 1
    assert found.tail[0]["share"] == pytest.approx(found.scores.worst[0][2], abs=1e-4)
    assert all(row["rmse_without"] < found.scores.model["all"] for row in found.tail)
    assert found.percentiles["50%"][0] == pytest.approx(
        found.scores.model["median error"], abs=1e-3
    )


def test_files_and_pictures_are_written(found):
    names = [path.rpartition("/")[2] for path in found.files]
    assert names == [
        "analysis.txt",
        "analysis.json",
        "worst.png",
        "keypoints.png",
        "properties.png",
        "errors.png",
        "doubt.png",
    ]
    for path in found.files[2:]:
        with Image.open(path) as picture:
            picture.verify()
    written = json.loads(Path(found.files[1]).read_text())
    assert written["keypoints"] == found.as_dict()["keypoints"]
    assert written["doubt"]["points"] == found.doubt.points
    text = str(found)
    assert "Brier score" in text
    assert "right eyebrow" not in text
    assert "right_eyebrow_outer_end" in text
    assert f"row {found.scores.worst[0][0]}" not in text


def test_the_doubt_is_checked_against_the_runs_own_calibration(found, run):
    assert found.doubt.own["brier"] == pytest.approx(found.doubt.brier[0], abs=1e-4)
    assert found.calibration["power"] == run.metrics["doubt"]["power"]


def test_a_run_without_doubt(plain, faces):
    assert "doubt" not in plain.metrics
    found = kfkd.analyse(plain, faces, quiet=True)
    assert found.doubt is None
    assert "no doubt of its own" in str(found)
    assert found.files == ()


def test_calibrating_a_run_of_old(run, faces, tmp_path):
    record = json.loads(json.dumps(run.record))
    wanted = record["metrics"].pop("doubt")
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "all.keras").write_bytes((run.folder / "all.keras").read_bytes())
    kfkd.analyse(tmp_path, faces, calibrate=True, quiet=True)
    assert load_run(tmp_path).metrics["doubt"] == wanted
    for runs, part in (([tmp_path, run], "validation"), ([tmp_path], "all")):
        with pytest.raises(KfkdError, match="calibrate wants one run"):
            kfkd.analyse(runs, faces, part, calibrate=True, quiet=True)


def test_nothing_to_calibrate(plain, faces):
    with pytest.raises(RunError, match="has no doubt to calibrate"):
        kfkd.analyse(plain, faces, calibrate=True, quiet=True)


@pytest.mark.parametrize("worst", [0, -1, 2.5, True])
def test_worst_wants_a_number(run, faces, worst):
    with pytest.raises(KfkdError, match="worst wants a whole number from 1"):
        kfkd.analyse(run, faces, worst=worst)


def test_parts_and_data_are_checked(run, faces):
    with pytest.raises(KfkdError, match="part wants"):
        kfkd.analyse(run, faces, "test", quiet=True)
    with pytest.raises(DataError, match="was trained on other data"):
        kfkd.analyse(run, faces[:40], quiet=True)
    with pytest.raises(KfkdError, match="at least one run"):
        kfkd.analyse([], faces)
    bare = replace(faces, keypoints=np.full_like(faces.keypoints, NAN))
    with pytest.raises(DataError, match="nothing to score"):
        kfkd.analyse(run, bare, "all", quiet=True)


# Several runs


def test_several_runs_answer_by_their_mean(run, plain, faces):
    found = kfkd.analyse([run, plain], faces, quiet=True)
    held_out = kfkd.analyse(run, faces, quiet=True).scores.images
    assert found.scores.images == held_out
    assert "mean of 2 runs" in found.told
    points = (run.predict(faces.images) + plain.predict(faces.images)) / 2
    errors = points - faces.keypoints
    every = kfkd.analyse([run, plain], faces, "all", quiet=True)
    assert every.scores.model["all"] == pytest.approx(np.sqrt(np.nanmean(errors**2)), abs=1e-3)
    assert every.doubt is not None
    assert "also those that were learned" in every.told


def test_folds_answer_for_the_rows_they_held_out(trained, faces):
    folds = [trained(f"fold{i}", fold=(i, 2)) for i in range(2)]
    found = kfkd.analyse(folds, faces, quiet=True)
    assert found.scores.images == len(faces)
    assert "each predicted by the run that held it out" in found.told
    sums = [fold.metrics["model"]["all"] ** 2 * fold.metrics["values"] for fold in folds]
    assert found.scores.model["all"] == pytest.approx(np.sqrt(sum(sums) / found.scores.values))
    with pytest.raises(DataError, match="none of them common to all"):
        kfkd.analyse([*folds, folds[0]], faces, quiet=True)


@pytest.fixture(scope="module")
def seeds(trained, tmp_path_factory, faces):
    """A cross-validation of two folds and two seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        out = tmp_path_factory.mktemp("cv") / "cv"
        given = {"k": 2, "seeds": 2, "subsets": "all", "epochs": 1, "quiet": True}
        return kfkd.cross_validate("tiny", faces, out=out, **given)


def test_a_cross_validation_answers_by_the_mean_of_its_seeds(seeds, faces):
    found = kfkd.analyse(seeds.out, faces, quiet=True)
    assert found.runs == tuple(f"seed-{seed}/fold-{fold}" for seed in (0, 1) for fold in (0, 1))
    assert found.scores.images == len(faces)
    assert "each predicted by the mean of the 2 runs that held it out" in found.told
    pooled = seeds.models["tiny"]["pooled"]["all"]["model"]
    assert found.scores.model["all"] == pytest.approx(pooled["all"], abs=1e-3)
    for same in (seeds, seeds.out / "tiny", [*map(str, seeds.run_folders("tiny"))]):
        assert kfkd.analyse(same, faces, quiet=True).scores == found.scores


def test_the_mean_face_of_a_row_is_that_of_its_own_fold(seeds, faces):
    member = seeds.out_of_fold("tiny")
    runs = {(row["seed"], row["fold"]): row["folder"] for row in seeds.models["tiny"]["folds"]}
    means = {place: load_run(seeds.out / folder).mean_face() for place, folder in runs.items()}
    own = np.stack([(means[0, i] + means[1, i]) / 2 for i in member.fold])
    wanted = np.sqrt(np.nanmean(np.square(own - faces.keypoints)))
    found = kfkd.analyse(seeds, faces, quiet=True)
    assert found.scores.mean_face["all"] == pytest.approx(wanted, abs=1e-4)
    first = np.sqrt(np.nanmean(np.square(means[0, 0] - faces.keypoints)))
    assert abs(first - wanted) > 1e-3


def test_a_cross_validation_of_several_models_wants_one_named(fabricated, faces, tmp_path):
    made = fabricated.Faces(30)
    members = [made.member(name, made.noise(1)) for name in ("tiny", "other")]
    folder = fabricated.write_folds(tmp_path / "cv", members)
    with pytest.raises(KfkdError, match=r"several models; name the folder of one: .*/cv/tiny, "):
        kfkd.analyse(folder, faces, quiet=True)
    with pytest.raises(KfkdError, match="runs, cross-validations or their folders are wanted"):
        kfkd.analyse(5, faces)


# Other keypoints


def test_68_points_have_nme(trained):
    random = np.random.default_rng(0)
    faces = synthetic_faces(60, seed=1)
    points = random.uniform(20, 70, (1, 68, 2)) + random.normal(size=(60, 68, 2))
    faces = replace(
        faces,
        keypoints=points.astype(np.float32),
        skeleton=IBUG_68,
        source=np.full(60, "ibug"),
        origin="own",
    )
    run = trained("ibug", faces, validation=0.4)
    found = kfkd.analyse(run, faces, quiet=True)
    nme = found.scores.landmarks.scores["nme"][0]
    cells = [row["ibug"]["nme"] for row in found.keypoints.values()]
    assert np.mean(cells) == pytest.approx(nme, rel=1e-3)
    rows = found.bins["brightness"]
    weights = [row["images"] for row in rows]
    assert np.average([row["nme"] for row in rows], weights=weights) == pytest.approx(nme, rel=1e-3)
    assert "NME %" in str(found)


# Measures


def test_properties_of_a_face():
    faces = synthetic_faces(3, seed=0)
    points = np.full_like(faces.keypoints, NAN)
    points[:2, 0], points[:2, 1] = (70, 40), (30, 40)
    points[1, 0] = (70, 80)  # turned by 45°
    points[0, 10] = (60, 60)
    points[1, 10] = (50, 60)
    found = face_properties(replace(faces, keypoints=points))
    np.testing.assert_allclose(found["size"], [40, np.sqrt(3200), NAN])
    np.testing.assert_allclose(found["roll"], [0, 45, NAN])
    np.testing.assert_allclose(found["yaw"], [0.25, 0, NAN], atol=1e-7)
    np.testing.assert_allclose(found["off_centre"], [np.hypot(2.5, 2.5), np.hypot(2.5, 12.5), NAN])
    assert "size" not in face_properties(replace(faces, keypoints=np.full_like(points, NAN)))


def test_blurred_images_are_less_sharp():
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 1), np.uint8)
    soft = (images[:, 1:].astype(float) + images[:, :-1]) / 2
    assert (sharpness(soft.astype(np.uint8)) < sharpness(images)).all()
    assert (sharpness(np.full((2, 9, 9, 3), 7, np.uint8)) == 0).all()


def test_quarters():
    squares = np.arange(1, 9, dtype=float)[:, None, None] * np.ones((8, 1, 2))
    values = np.array([1, 1, 1, 1, 2, 3, 4, NAN])
    rows = quarters(values, squares, squares * 4)
    assert [(row["low"], row["high"], row["images"]) for row in rows] == [(1, 2.5, 5), (2.5, 4, 2)]
    assert rows[0]["rmse"] == pytest.approx(np.sqrt(3), abs=1e-5)
    assert rows[0]["mean_face"] == pytest.approx(2 * rows[0]["rmse"], abs=1e-4)
    assert sum(row["share"] for row in rows) == pytest.approx(28 / 36, abs=1e-4)
    (one,) = quarters(np.ones(8), squares, squares)
    assert (one["images"], one["share"]) == (8, 1)
    assert quarters(np.full(8, NAN), squares, squares) == []


def test_the_tail_of_one_bad_image():
    squares = np.ones((100, 2, 2))
    squares[17] = 99
    rows = tail_of(squares)
    assert rows[0] == {"worst": 0.01, "images": 1, "share": 0.5, "rmse_without": 1.0}
    assert [row["images"] for row in rows] == [1, 5, 10]


# The command


def test_the_command(run, faces, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setattr("kfkd.evaluation.as_faces", lambda *given, **settings: faces)
    asked = ["analyse", str(run.folder), "--data", "x", "--out", str(tmp_path / "a"), "--quiet"]
    assert main([*asked, "--worst", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["scores"]["worst"]) == 3
    assert {*told} == {*Analysis.__dataclass_fields__}
    assert main([*asked, "--worst", "0"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("kfkd: worst wants")
    assert len(shown.err.splitlines()) == 1
