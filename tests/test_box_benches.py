"""What a face detector costs, before training and on photos."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kfkd
from kfkd.bench.box import bench_box, box_table
from kfkd.bench.boxes import bench_boxes, boxes_table
from kfkd.errors import KfkdError, RunError
from kfkd.landmarks.recording import landmark_table, measured_landmarks, record_landmarks
from kfkd.pipelines.synthetic import synthetic_faces

pytestmark = pytest.mark.usefixtures("undrawn")


def whole(images):
    """Finds a face as large as the picture."""
    return [[(0, 0, image.shape[1], image.shape[0])] for image in images]


def every_second(images):
    """Finds a face in every second picture only."""
    return [found if i % 2 else [] for i, found in enumerate(whole(images))]


@pytest.fixture(scope="module")
def run(keras_ready, layouts, tmp_path_factory):
    """A small net after an epoch on the faces of ten photos."""
    photos = layouts.write_ibug(tmp_path_factory.mktemp("ibug"), count=10)
    out = tmp_path_factory.mktemp("runs") / "run"
    data = f"ibug:{photos}?size=96x96&channels=1"
    return kfkd.train(
        "baseline", data, subsets="all", validation=0.4, epochs=1, out=out, quiet=True
    )


def test_a_box_stage_is_scored_in_pixels_of_the_images_as_they_were(keras_ready, tmp_path):
    faces = synthetic_faces(60, seed=3)
    settings = {"epochs": 1, "subsets": "all", "quiet": True}
    made = bench_box(faces, "baseline", whole, 0.0, out=tmp_path / "box", **settings)
    assert (made["missed"], made["labels_lost"], made["images"]) == (0, 0, 60)
    as_they_are, crops = made["scores"]["as they are"], made["scores"]["cropped"]
    # Half a box's width around the middle of an image is the image itself.
    assert crops["mean_face"] == pytest.approx(as_they_are["mean_face"], rel=0.2)
    assert json.loads((tmp_path / "box" / "box.json").read_text()) == made
    assert "60 images" in box_table(made) and "cropped" in box_table(made)
    again = bench_box(faces, "baseline", whole, 0.0, out=tmp_path / "box", **settings)
    assert again == made


def test_a_box_stage_wants_all_keypoints(keras_ready, tmp_path):
    settings = {"epochs": 1, "subsets": "dense", "quiet": True}
    with pytest.raises(KfkdError, match="all keypoints"):
        bench_box(synthetic_faces(20, seed=3), "baseline", whole, out=tmp_path / "b", **settings)


def test_keypoints_by_detected_boxes_stand_beside_those_by_given_ones(run):
    made = bench_boxes(run, [whole, every_second], quiet=True)
    assert made["images"] == 4
    found = {name: row["found"] for name, row in made["by"].items()}
    assert found == {"given boxes": 4, "whole": 4, "every_second": 2}
    given = made["by"]["given boxes"]
    assert given["nme"] == given["nme_in_given_boxes"] == made["by"]["whole"]["nme_in_given_boxes"]
    assert np.isfinite([row["nme"] for row in made["by"].values()]).all()
    assert "2 of 4" in boxes_table(made)
    assert bench_boxes(run, [whole], most=3, quiet=True)["images"] == 3


def test_runs_on_no_photos_have_no_given_boxes(keras_ready, tmp_path):
    faces = synthetic_faces(20, seed=3)
    own = kfkd.train("baseline", faces, epochs=1, out=tmp_path / "run", quiet=True)
    with pytest.raises(RunError, match="not trained on photos"):
        bench_boxes(own, quiet=True)
    with pytest.raises(RunError, match="Kaggle's points"):
        measured_landmarks(own)


def test_landmark_rows_stand_beside_the_mean_face_with_their_command(run, tmp_path):
    table = tmp_path / "landmark_results.json"
    results = record_landmarks([run], table, quiet=True)
    assert json.loads(table.read_text()) == results
    (row,) = results.values()
    assert row["nme"] == list(run.metrics["landmarks"]["scores"]["nme"])
    assert (row["validation_images"], row["points"], row["data"]) == (4, 68, "ibug")
    assert row["command"].startswith("kfkd train baseline --data ibug:DATA --seed 0 ")
    text = landmark_table(results)
    assert f"({100 * row['nme'][1]:.2f})" in text and row["command"] in text
    assert text.splitlines()[0].count("|") == text.splitlines()[2].count("|")
