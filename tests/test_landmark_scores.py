"""What `kfkd evaluate` says of 68 and 58 points: the field's scores and the course's."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.cli import main
from kfkd.landmarks.scores import score_landmarks
from kfkd.learning.trainer import FILES
from kfkd.nme import eye_distances
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.scoring import mean_faces, score_faces


@pytest.fixture(scope="module")
def photos(layouts, tmp_path_factory):
    return layouts.write_ibug(tmp_path_factory.mktemp("ibug"), count=10)


@pytest.fixture(scope="module")
def faces(photos):
    return kfkd.load_faces("ibug", photos, size=(96, 96), channels=1, quiet=True)


@pytest.fixture(scope="module")
def run(keras_ready, photos, tmp_path_factory):
    """The small heatmap net after an epoch on eight photos."""
    out = tmp_path_factory.mktemp("runs") / "unet"
    settings = {"validation": 0.3, "batch_size": 4, "augment": "none", "quiet": True}
    return kfkd.train("unet_small_68", f"ibug:{photos}", epochs=1, out=out, **settings)


def test_evaluate_prints_the_fields_scores(run, photos, capsys):
    assert main(["evaluate", str(run.folder), "--quiet"]) == 0
    text = capsys.readouterr().out
    for words in (
        "in pixels of the photos",
        "NME in %, of the outer eye corners' distance",
        "NME in %, of √(w · h) of the points' box",
        "AUC@0.08",
        "failures@0.08, % of the images",
        "mean absolute error, px of the photos (the course's score)",
        "contour",
        "RMSE in px of the crops",
        "mean face",
    ):
        assert words in text, words
    assert "kaggle_rmse" not in text
    assert main(["evaluate", str(run.folder), "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["landmarks"]
    shares = ("nme", "nme_box", "auc", "failure_rate")
    assert told["pixels"] == "photos"
    assert set(told["scores"]) == {*shares, "pixel_mae", "mse_sides"}
    assert set(told["regions"]) == {"contour", "brows", "nose", "eyes", "mouth", "all"}
    assert all(v is not None for pair in told["scores"].values() for v in pair)
    assert told == json.loads(json.dumps(run.metrics["landmarks"]))


def test_a_run_of_68_points_has_all_its_pictures(run):
    there = {path.name for path in run.folder.iterdir()}
    assert there == {*FILES, "all.keras"}
    assert {"best.png", "worst.png", "loss_curves.png", "ced.png"} <= there


def test_errors_are_those_of_the_photos(faces, photos):
    """A shift of (3, 4) px in the photo, whatever its crop's scale, is the course's 3.5."""
    truth = kfkd.load_photos("ibug", photos, quiet=True)
    shifted = truth.keypoints + np.float32([3, 4])
    predicted = faces.photos.to_crop(shifted).astype(np.float32)
    mean = faces.keypoints.mean(axis=0)
    found = score_landmarks(faces, predicted, mean)
    assert found.pixels == "photos"
    assert found.scores["pixel_mae"][0] == pytest.approx(3.5, abs=1e-3)
    lengths = eye_distances(truth.keypoints, faces.skeleton)
    assert found.scores["nme"][0] == pytest.approx((5 / lengths).mean(), abs=1e-4)
    assert found.regions["mouth"][0] == pytest.approx((5 / lengths).mean(), abs=1e-4)
    in_photos = faces.photos.to_photo(np.broadcast_to(mean, faces.keypoints.shape))
    course = np.abs(in_photos - truth.keypoints).mean()
    assert found.scores["pixel_mae"][1] == pytest.approx(course, abs=1e-3)
    in_crops = score_landmarks(replace(faces, photos=None), predicted, mean)
    assert in_crops.pixels == "images" and in_crops.scores["pixel_mae"][0] > 4
    # Crops of boxes have square pixels, so shares of the face are the same in both.
    assert in_crops.scores["nme"] == pytest.approx(found.scores["nme"], abs=1e-4)


def test_the_mean_face_is_measured_on_the_points_predicted(faces):
    predicted = np.full_like(faces.keypoints, np.nan)
    nose = list(faces.skeleton.groups["nose"])
    predicted[:, nose] = faces.keypoints[:, nose] + 1
    mean = np.full((68, 2), 1e6, np.float32)
    mean[nose] = faces.keypoints[:, nose].mean(axis=0)
    found = score_landmarks(faces, predicted, mean)
    assert set(found.regions) == {"nose", "all"}
    assert found.scores["nme"][1] < 10 and found.regions["nose"][1] == found.scores["nme"][1]


def test_own_points_have_no_eyes_to_measure_by(layouts, tmp_path):
    layouts.write_folder(tmp_path / "cats")
    cats = kfkd.load_faces("folder", tmp_path / "cats", quiet=True)
    found = score_landmarks(cats, cats.keypoints + 2, np.full((3, 2), 48, np.float32))
    assert found.scores["nme"] == found.scores["auc"] == (None, None) and found.regions == {}
    assert found.scores["nme_box"][0] > 0 and found.scores["pixel_mae"][0] < 2
    assert "of the distance of two points that nobody named" in found.table()
    assert "—" in found.table()
    text = str(score_faces(cats, np.nan_to_num(cats.keypoints), mean_faces(cats)))
    assert "the course's score" in text


def test_own_points_are_measured_by_the_two_that_are_named(layouts, tmp_path):
    layouts.write_folder(tmp_path / "cats")
    named = {"normalise": ("left_ear", "right_ear"), "quiet": True}
    cats = kfkd.load_faces("folder", tmp_path / "cats", **named)
    photos = kfkd.load_photos("folder", tmp_path / "cats", **named)
    shifted = cats.photos.to_crop(photos.keypoints + np.float32([3, 4])).astype(np.float32)
    found = score_landmarks(cats, shifted, np.full((3, 2), 48, np.float32))
    apart = np.linalg.norm(photos.keypoints[:, 0] - photos.keypoints[:, 1], axis=1)
    assert found.scores["nme"][0] == pytest.approx((5 / apart).mean(), abs=1e-4)
    assert "NME in %, of the distance of left_ear and right_ear" in found.table()


def test_a_run_of_one_point_is_told_of_that_point(faces):
    predicted = np.full_like(faces.keypoints, np.nan)
    nose = faces.skeleton.points.index("nose_tip")
    predicted[:, nose] = faces.keypoints[:, nose] + 1
    scores = score_faces(faces, predicted, mean_faces(faces))
    assert list(scores.keypoints) == ["nose_tip"] and scores.keypoints["nose_tip"][0] == 1
    assert "chin" not in str(scores)


def test_kaggles_points_have_kaggles_score_alone():
    faces = synthetic_faces(20)
    scores = score_faces(faces, np.nan_to_num(faces.keypoints), mean_faces(faces))
    assert scores.landmarks is None and "kaggle_rmse" in str(scores) and "NME" not in str(scores)
