"""What a doubt is worth: fitting it, its scores, and where confidence is offered."""

import csv
import json

import numpy as np
import pytest

import kfkd
from kfkd.analysis.rows import together
from kfkd.cli import main
from kfkd.crops import CropRule
from kfkd.doubts.calibrating import fit_calibration
from kfkd.doubts.calibration import Calibration, Level, calibration_from
from kfkd.doubts.scoring import rank_correlation, score_doubt
from kfkd.errors import KfkdError, RunError
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.runs import load_run
from kfkd.views import Views

NAN = float("nan")
SCALES = np.array([0.1, 0.4, 2.0])
"""By how much the doubts of three keypoints must be multiplied."""


def drawn(n=3000, power=1.0, seed=0):
    """Doubts, and distances of points whose deviation is SCALES times a power of them."""
    random = np.random.default_rng(seed)
    doubt = random.lognormal(0.5, 0.5, (n, 3))
    errors = random.normal(size=(n, 3, 2)) * (SCALES * doubt**power)[..., None]
    return np.linalg.norm(errors, axis=-1), doubt


# Fitting


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_doubt_that_follows_the_error_is_found_out(power):
    distances, doubt = drawn(power=power)
    fitted = fit_calibration(distances, doubt, 96)
    assert fitted.power == pytest.approx(power, abs=0.12)
    np.testing.assert_allclose(fitted.sigma(doubt) / (SCALES * doubt**power), 1, atol=0.3)
    told = fitted.confidence(doubt)
    assert fitted.within == 2
    assert told.dtype == np.float32
    assert ((told > 0) & (told < 1)).all()
    np.testing.assert_allclose(told.mean(axis=0), (distances <= 2).mean(axis=0), atol=0.03)


def test_a_doubt_that_says_nothing_leaves_each_keypoint_its_usual_error():
    distances, _ = drawn(power=0)
    fitted = fit_calibration(distances, drawn(seed=1)[1], 96)
    assert fitted.power < 0.06
    np.testing.assert_allclose(fitted.sigma(np.ones((1, 3)))[0], SCALES, rtol=0.15)


def test_found_means_a_48th_of_the_width():
    distances, doubt = drawn(100)
    assert fit_calibration(distances, doubt, 240).within == 5


def test_sources_have_levels_of_their_own():
    distances, doubt = drawn(2000)
    source = np.where(np.arange(2000) % 4 == 0, "full", "four_point")
    distances[source == "four_point"] *= 3
    distances[source == "four_point", 2] = NAN
    fitted = fit_calibration(distances, doubt, 96, source)
    one = np.full((1, 3), 1.6)
    full, four = fitted.sigma(one, "full")[0], fitted.sigma(one, np.array(["four_point"]))[0]
    np.testing.assert_allclose(four[:2] / full[:2], 3, rtol=0.2)
    # What a source never labels is as it is in all; other sources are answered as the full one.
    assert four[2] == pytest.approx(full[2], rel=0.2)
    np.testing.assert_array_equal(fitted.sigma(one, "imm")[0], full)
    assert fitted.levels["four_point"][2] is None


def test_outliers_do_not_rule():
    distances, doubt = drawn()
    clean = fit_calibration(distances, doubt, 96).sigma(doubt)
    distances[:30] = 60
    np.testing.assert_allclose(fit_calibration(distances, doubt, 96).sigma(doubt), clean, rtol=0.2)


def test_few_points_tell_nothing():
    distances, doubt = drawn(60)
    distances[19:, 1] = NAN
    fitted = fit_calibration(distances, doubt, 96)
    assert [level is None for level in fitted.levels["all"]] == [False, True, False]
    told = fitted.confidence(doubt)
    assert np.isnan(told[:, 1]).all()
    assert not np.isnan(told[:, [0, 2]]).any()
    assert fit_calibration(distances[:19], doubt[:19], 96) is None
    assert fit_calibration(distances, np.full_like(doubt, NAN), 96) is None
    assert fit_calibration(distances[:0], doubt[:0], 96) is None


def test_equal_doubts_and_no_errors_are_no_trouble():
    fitted = fit_calibration(np.zeros((50, 2)), np.zeros((50, 2)), 96)
    assert fitted.power == 0
    assert (fitted.confidence(np.zeros((1, 2))) > 0.99).all()
    assert fitted.confidence(np.zeros((0, 2))).shape == (0, 2)


def test_a_calibration_is_plain_data():
    distances, doubt = drawn(100)
    fitted = fit_calibration(distances, doubt, 96, np.array(["full", "four_point"] * 50))
    again = calibration_from(json.loads(json.dumps(fitted.config())), 3)
    np.testing.assert_allclose(again.sigma(doubt), fitted.sigma(doubt), rtol=1e-3)
    assert again.images == 100


GOOD = {"within": 2.0, "power": 1.0, "levels": {"all": [[1.0, 2.0], None]}, "images": 3}


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {**GOOD, "within": 0},
        {**GOOD, "within": NAN},
        {**GOOD, "power": -1},
        {**GOOD, "power": 9},
        {**GOOD, "levels": {"full": [[1.0, 2.0], None]}},
        {**GOOD, "levels": {"all": [[1.0, 2.0]]}},
        {**GOOD, "levels": {"all": [[1.0, 0.0], None]}},
        {**GOOD, "levels": {"all": [["x", 1.0], None]}},
        {**GOOD, "levels": {"all": [[1.0, 2.0, 3.0], None]}},
        {**GOOD, "levels": [1]},
    ],
)
def test_a_calibration_from_anyone_is_checked(wrong):
    assert calibration_from(GOOD, 2).levels == {"all": (Level(1.0, 2.0), None)}
    with pytest.raises(KfkdError, match="no calibration of doubt"):
        calibration_from(wrong, 2)


# Scores


def test_scores_of_a_doubt():
    distances, doubt = drawn()
    source = np.full(len(doubt), "full")
    fitted = fit_calibration(distances, doubt, 96)
    other = Calibration(2.0, 0.0, {"all": (Level(1.0, 9.0),) * 3})
    found = score_doubt(fitted, distances, doubt, source, other)
    assert (found.images, found.points) == (3000, 9000)
    assert sum(row["points"] for row in found.bins) == 9000
    assert [row["sigma"] for row in found.bins] == sorted(row["sigma"] for row in found.bins)
    for row in found.bins:
        assert row["rmse"] == pytest.approx(row["sigma"], rel=0.1)
        assert row["found"] == pytest.approx(row["confidence"], abs=0.05)
    errors = [error for _, error in found.coverage]
    assert errors == sorted(errors)
    assert errors[-1] == pytest.approx(np.sqrt((distances**2).mean() / 2), abs=1e-3)
    assert found.brier[0] < found.brier[1]
    assert found.ranks["calibrated"] > found.ranks["doubt within a keypoint"] > 0.2
    assert found.own["brier"] > found.brier[0]
    assert json.loads(json.dumps(found.as_dict()))["within"] == 2


def test_rank_correlation():
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([5.0, 6, 100])) == 1
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([9.0, 6, 1])) == -1
    assert rank_correlation(np.ones(3), np.arange(3.0)) is None


def test_several_answers_are_one():
    found = np.array(
        [
            [[[1, 1, 3]], [[4, 4, 1]], [[NAN, NAN, NAN]], [[NAN, NAN, NAN]]],
            [[[3, 1, 4]], [[NAN, NAN, NAN]], [[2, 2, NAN]], [[NAN, NAN, NAN]]],
        ],
        np.float32,
    )
    points, doubt = together(found)
    np.testing.assert_array_equal(points[:, 0], [[2, 1], [4, 4], [2, 2], [NAN, NAN]])
    # (9 + 16) / 2 of their own, and (1 + 0) / 2 between them along an axis.
    np.testing.assert_allclose(doubt[:, 0], [np.sqrt(13), 1, NAN, NAN], rtol=1e-6)
    _, between = together(np.array([[[[1, 1, NAN]]], [[[3, 1, NAN]]]]))
    assert between[0, 0] == pytest.approx(np.sqrt(0.5))


# Where it is offered


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(160, seed=3)


@pytest.fixture(scope="module")
def run(tiny_zoo, tmp_path_factory, faces):
    """A run whose doubt is how far an image and its mirror disagree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        folder = tmp_path_factory.mktemp("runs") / "sure"
        settings = {"subsets": ["all"], "epochs": 2, "validation": 0.5, "views": Views(flip=True)}
        made = kfkd.train("tiny", faces, out=folder, quiet=True, **settings)
    made.record["crop"] = CropRule("whole", (96, 96), True, {"mtcnn": (0, 0, 1)}).as_dict()
    (folder / "run.json").write_text(json.dumps(made.record))
    return load_run(folder)


def without_calibration(run, folder):
    record = json.loads(json.dumps(run.record))
    del record["metrics"]["doubt"]
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "all.keras").write_bytes((run.folder / "all.keras").read_bytes())
    return load_run(folder)


def test_a_training_leaves_what_its_doubt_is_worth(run, faces):
    held_out = run.metrics["images"]
    assert run.metrics["doubt"]["images"] == held_out
    _, doubt = run.predict_with_doubt(faces.images[:9])
    told = run.confidence(doubt)
    assert told.shape == (9, 15)
    assert ((told > 0) & (told < 1)).all()


def test_a_run_without_calibration_cannot_tell(run, faces, tmp_path):
    bare = without_calibration(run, tmp_path / "bare")
    assert bare.calibration is None
    assert np.isnan(bare.confidence(np.ones((2, 15)))).all()
    bare.record["metrics"]["doubt"] = {"within": -1}
    with pytest.raises(RunError, match=r"run\.json: no calibration of doubt"):
        bare.confidence(np.ones((2, 15)))


def test_detected_faces_have_confidence(run, faces, tmp_path):
    settings = {"detector": "box", "boxes": [(0, 0, 96, 96)], "quiet": True}
    found = kfkd.detect(run, faces.images[0, :, :, 0], out=tmp_path / "out", **settings)
    told = found[0].faces[0].confidence
    assert told.shape == (15,)
    assert ((told > 0) & (told < 1)).all()
    written = json.loads((tmp_path / "out" / "faces.json").read_text())[0]["faces"][0]
    assert written["confidence"]["nose_tip"] == pytest.approx(float(told[10]), abs=1e-4)
    with (tmp_path / "out" / "faces.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["nose_tip_confidence"]) == pytest.approx(float(told[10]), abs=1e-4)
    bare = without_calibration(run, tmp_path / "bare")
    (face,) = kfkd.detect(bare, faces.images[0, :, :, 0], **settings)[0].faces
    assert face.confidence is None
    assert "confidence" not in face.as_dict()


def test_predictions_have_confidence_where_it_is_asked(run, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    table = tmp_path / "mine.csv"
    data = str(write_kaggle_folder(tmp_path / "kaggle", train=2, test=3))

    def rows(folder, *more):
        asked = ["predict", str(folder), "--data", data]
        assert main([*asked, "--out", str(table), "--quiet", *more]) == 0
        with table.open(newline="") as file:
            return list(csv.DictReader(file))

    plain, told = rows(run.folder), rows(run.folder, "--confidence")
    assert len(told[0]) == len(plain[0]) + 15
    assert told[0]["nose_tip_x"] == plain[0]["nose_tip_x"]
    assert 0 < float(told[0]["left_eye_center_confidence"]) < 1
    bare = without_calibration(run, tmp_path / "bare")
    assert rows(bare.folder, "--confidence")[0]["nose_tip_confidence"] == ""
    asked = ["predict", str(run.folder), "--data", data, "--confidence"]
    assert main([*asked, "--format", "course", "--quiet"]) == 2
    assert "--confidence wants --format table" in capsys.readouterr().err


def test_confidence_is_that_of_the_source_that_the_points_are_of(run, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    data = write_kaggle_folder(tmp_path / "kaggle", train=2, test=12)
    both = without_calibration(run, tmp_path / "both")
    levels = {"all": [[1, 2]] * 15, "full": [[1, 4]] * 15, "four_point": [[1, 1]] * 15}
    both.record["metrics"]["doubt"] = {"within": 2.0, "power": 0.0, "levels": levels}
    (both.folder / "run.json").write_text(json.dumps(both.record))
    faces = kfkd.load_faces("kaggle", data, part="test", quiet=True)
    assert {*faces.source} == {"full", "four_point"}
    _, doubt = both.predict_with_doubt(faces.images, source=faces.source)
    table = tmp_path / "mine.csv"
    asked = ["predict", str(both.folder), "--data", str(data), "--out", str(table), "--confidence"]
    assert main([*asked, "--quiet"]) == 0
    with table.open(newline="") as file:
        told = [float(row["nose_tip_confidence"]) for row in csv.DictReader(file)]
    wanted = both.confidence(doubt, faces.source)[:, 10]
    np.testing.assert_allclose(told, wanted, atol=1e-3)
    assert np.abs(wanted - both.confidence(doubt)[:, 10]).max() > 0.1
