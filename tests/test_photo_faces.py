"""From photos to faces: crops, keypoints that move along, names of data sets, whole trainings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

import kfkd
from kfkd.crop_maps import crop_matrix, inverse, place
from kfkd.crops import Face
from kfkd.data import as_faces
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_faces import crop_matrices, faces_of
from kfkd.pipelines.source_text import photo_kind, photo_source
from kfkd.pipelines.synthetic import write_kaggle_folder
from kfkd.recording import training_command
from kfkd.skeletons import own_skeleton

pytestmark = pytest.mark.usefixtures("undrawn")

WHOLE = (np.nan,) * 4


def one_photo(path, width, height, box=WHOLE, points=((0.0, 0.0),)):
    """A set of one face."""
    skeleton = own_skeleton([f"point{i}" for i in range(len(points))])
    return PhotoSet(
        paths=np.array([str(path)], object),
        sizes=np.array([[width, height]], np.int32),
        digests=np.zeros(1, np.uint64),
        boxes=np.array([box], np.float32),
        keypoints=np.array([points], np.float32),
        skeleton=skeleton,
        source=np.array(["own"]),
        group=np.zeros(1, np.uint64),
        ids=np.array([1]),
    )


boxes = st.tuples(
    st.floats(-50, 180), st.floats(-50, 130), st.floats(8, 300), st.floats(8, 300)
) | st.just(WHOLE)
sides = st.integers(16, 256)
points = st.lists(st.tuples(st.floats(-100, 400), st.floats(-100, 300)), min_size=1, max_size=5)


@given(boxes, st.tuples(sides, sides), st.floats(-0.2, 1.5), points)
@settings(max_examples=200, deadline=None)
def test_keypoints_come_back_from_any_crop(box, size, margin, points):
    photos = one_photo("none.png", 200, 150, box, points)
    faces = faces_of(photos, size, 3, margin, lazy=True)
    matrix = crop_matrices(photos, size, margin)[0]
    back = place(inverse(matrix), faces.keypoints[0].astype(np.float64))
    assert np.abs(back - photos.keypoints[0]).max() < 0.05


@pytest.fixture(scope="module")
def spot(tmp_path_factory):
    """A photo of 200 × 150 with a soft spot, and the middle of the spot."""
    y, x = np.mgrid[:150, :200]
    middle = 88.3, 71.6
    light = 250 * np.exp(-(np.square(x - middle[0]) + np.square(y - middle[1])) / (2 * 6**2))
    path = tmp_path_factory.mktemp("spot") / "spot.png"
    Image.fromarray(np.rint(light).astype(np.uint8)).save(path)
    return path, middle


@given(
    box=st.tuples(st.floats(-20, 60), st.floats(-20, 50), st.floats(40, 200), st.floats(40, 200))
    | st.just(WHOLE),
    size=st.tuples(sides, sides),
    margin=st.floats(-0.1, 0.5),
)
@settings(max_examples=60, deadline=None)
def test_pixels_and_keypoints_move_alike(spot, box, size, margin):
    path, middle = spot
    photos = one_photo(path, 200, 150, box, [middle])
    faces = faces_of(photos, size, 1, margin, lazy=True)
    scale = np.diag(crop_matrices(photos, size, margin)[0])
    ((point,),) = faces.keypoints
    room = np.minimum(point, np.array(size[::-1]) - 1 - point)
    # A spot that is cut off at the edge, or of few pixels, has its middle of light elsewhere.
    assume((room > 22 * scale).all() and scale.min() > 0.3)
    light = np.asarray(faces.images)[0, :, :, 0].astype(float)
    v, u = np.mgrid[: size[0], : size[1]]
    found = np.array([(u * light).sum(), (v * light).sum()]) / light.sum()
    assert np.abs(found - point).max() < 0.05


def test_box_is_centred_in_square_pixels_and_a_whole_photo_fills_the_crop():
    boxed = faces_of(
        one_photo("none.png", 200, 150, (40, 30, 80, 60), [(80, 60), (40, 60)]), (96, 96), lazy=True
    )
    scale = 96 / np.sqrt(80 * 60)
    np.testing.assert_allclose(boxed.keypoints[0], [[47.5, 47.5], [47.5 - 40 * scale, 47.5]])
    corners = [(-0.5, -0.5), (199.5, 149.5)]
    whole = faces_of(one_photo("none.png", 200, 150, WHOLE, corners), (96, 64), lazy=True)
    np.testing.assert_allclose(whole.keypoints[0], [[-0.5, -0.5], [63.5, 95.5]], atol=1e-4)


def test_keypoints_outside_the_crop_stay_and_unlabelled_ones_too():
    photos = one_photo("none.png", 200, 150, (90, 60, 20, 20), [(0, 0), (np.nan, np.nan)])
    ((out, unlabelled),) = faces_of(photos, (32, 32), lazy=True).keypoints
    assert (out < 0).all() and np.isnan(unlabelled).all()


def test_crop_of_a_large_photo_is_averaged_not_sampled(tmp_path):
    board = np.indices((1200, 1600)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    for box in (WHOLE, (200, 200, 900, 900)):
        photos = one_photo(tmp_path / "board.png", 1600, 1200, box)
        crop = faces_of(photos, (48, 64), 1, cache=False).images
        assert np.abs(crop.astype(int) - 127).max() <= 4


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"size": (0, 96)}, "size wants"),
        ({"size": (96,)}, "size wants"),
        ({"size": (96, 9999)}, "size wants"),
        ({"size": (96, 96), "channels": 4}, "channels wants 1"),
        ({"size": (96, 96), "margin": -0.5}, "margin wants"),
        ({"size": (96, 96), "margin": float("nan")}, "margin wants"),
    ],
)
def test_crops_that_make_no_sense_are_refused(numbers, message):
    with pytest.raises(KfkdError, match=message):
        faces_of(one_photo("none.png", 200, 150), **numbers)


def test_photo_set_checks_its_shapes():
    photos = one_photo("none.png", 200, 150)
    for wrong in (
        {"keypoints": np.zeros((1, 2, 2), np.float32)},
        {"boxes": np.zeros((1, 4))},
        {"ids": np.arange(2)},
    ):
        with pytest.raises(KfkdError, match=f"PhotoSet wants {next(iter(wrong))} as"):
            replace(photos, **wrong)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("imm:/a/b", ("imm", "/a/b", {})),
        (
            "ibug:a b?size=96x64&channels=1&margin=-0.1&part=test&lazy=true",
            (
                "ibug",
                "a b",
                {
                    "size": (96, 64),
                    "channels": 1,
                    "margin": -0.1,
                    "part": "test",
                    "lazy": True,
                },
            ),
        ),
        ("folder:what?", ("folder", "what?", {})),
        ("C:/faces", None),
        ("synthetic", None),
        ("kaggle:/a", None),
    ],
)
def test_sources_as_text(text, wanted):
    assert photo_source(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imm:a?sise=1x1", "no option of imm:PATH is called 'sise'; did you mean size"),
        ("imm:a?size=96", "size wants HEIGHTxWIDTH. Received: size=96"),
        ("imm:a?channels=x", "channels wants 1 or 3"),
        ("imm:a?lazy=yes", "lazy wants true or false"),
        ("imm:a?part=dev", "part wants train or test"),
    ],
)
def test_options_that_make_no_sense_are_refused(text, message):
    with pytest.raises(KfkdError, match=message.replace("?", r"\?")):
        as_faces(text)


def test_folders_are_told_by_what_lies_in_them(layouts, tmp_path):
    writers = {
        "imm": layouts.write_imm,
        "ibug": layouts.write_ibug,
        "pts": layouts.write_pts,
        "youtube_faces": layouts.write_youtube,
        "folder": layouts.write_folder,
    }
    for name, write in writers.items():
        folder = write(tmp_path / name / "inside")
        assert photo_kind(folder) == name
        faces = as_faces(folder, quiet=True, frame=(24, 32, 1))
        assert faces.origin == name and faces.images.shape[1:] == (24, 32, 1)
        again = as_faces(faces.path, quiet=True)
        assert again.fingerprint == faces.fingerprint and again.path == faces.path
        assert kfkd.load_faces(name, folder, quiet=True).images.shape[1:] != (24, 32, 1)


def test_kaggles_files_stay_kaggles(tmp_path):
    folder = write_kaggle_folder(tmp_path / "faces", train=4, test=2)
    assert photo_kind(folder) is None
    assert len(as_faces(folder, quiet=True, frame=(24, 32, 3)).skeleton) == 15
    renamed = (folder / "training.csv").rename(folder / "mine.csv")
    assert len(as_faces(renamed, quiet=True)) == 4
    with pytest.raises(DataError, match=r"holds no training.csv, wanted training.csv"):
        as_faces(folder, quiet=True)


def test_options_of_crops_are_for_photos(tmp_path):
    with pytest.raises(KfkdError, match=r"are for photos. Received: 'synthetic'"):
        kfkd.load_faces("synthetic", size=(9, 9))
    with pytest.raises(DataError, match="imm wants a path"):
        kfkd.load_faces("imm")
    with pytest.raises(UnknownName, match="did you mean imm"):
        kfkd.load_faces("im")


def test_training_on_ones_own_keypoints_the_whole_way(layouts, tmp_path, tiny_zoo, capsys):
    folder = layouts.write_folder(tmp_path / "cats", 40)
    out = tmp_path / "run"
    run = kfkd.train("tiny", str(folder), subsets="all", epochs=2, out=out, quiet=True)
    assert run.skeleton.points == ("left_ear", "right_ear", "nose") and run.frame == (96, 96, 1)
    scores = kfkd.evaluate(run)
    assert scores.model["all"] > 0 and scores.model["kaggle_rmse"] is None
    assert list(scores.keypoints) == ["left_ear", "right_ear", "nose"]
    opened = kfkd.load_run(out)
    assert opened.skeleton == run.skeleton
    assert kfkd.predict(opened, folder).shape == (40, 3, 2)
    from kfkd.cli import main

    table = tmp_path / "found.csv"
    assert main(["predict", str(out), "--data", str(folder), "--out", str(table)]) == 0
    assert table.read_text().startswith("file,left_ear_x,left_ear_y,right_ear_x")
    record = json.loads((out / "run.json").read_text())
    assert record["data"]["path"] == f"folder:{folder}?size=96x96&channels=1&margin=0"
    record["keypoints"]["points"] = ["nose"]
    (out / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="no skeleton"):
        kfkd.load_run(out)


def test_a_run_keeps_the_points_that_normalise(layouts, tmp_path, tiny_zoo, capsys):
    folder = layouts.write_folder(tmp_path / "cats", 20)
    data = f"folder:{folder}?normalise=left_ear,right_ear"
    settings = {"subsets": "all", "epochs": 1, "out": tmp_path / "run", "quiet": True}
    run = kfkd.train("tiny", data, **settings)
    assert run.record["keypoints"]["normaliser"] == [0, 1]
    assert run.record["data"]["path"].endswith("&normalise=left_ear,right_ear")
    other = data.replace("left_ear,right_ear", "left_ear,nose")
    with pytest.raises(RunError, match=r"points that normalise \(received left_ear, nose, it"):
        kfkd.train("tiny", other, **settings)
    assert run.metrics["landmarks"]["length"] == "the distance of left_ear and right_ear"
    opened = kfkd.load_run(tmp_path / "run")
    nme = run.metrics["landmarks"]["scores"]["nme"]
    # Data that names no points is measured by the run's.
    for again in (None, str(folder)):
        scores = kfkd.evaluate(opened, again, quiet=True).landmarks.scores
        assert scores["nme"] == pytest.approx(nme, abs=1e-4)
    kfkd.ced_figure(opened, quiet=True)
    assert "--data 'folder:DATA?normalise=left_ear,right_ear'" in training_command(opened)


def test_names_of_points_may_hold_what_separates_options(layouts, tmp_path):
    header = '"file","a&b_x","a&b_y","c,d?_x","c,d?_y"'
    folder = layouts.write_folder(tmp_path / "odd", 1, header, ["0.jpg,1,2,3,4"])
    faces = kfkd.load_faces("folder", folder, quiet=True, normalise=("c,d?", "a&b"))
    assert as_faces(faces.path, quiet=True).skeleton == faces.skeleton
    assert faces.skeleton.normaliser == (1, 0)


def test_names_of_points_may_come_as_one_text(layouts, tmp_path):
    folder = layouts.write_folder(tmp_path / "cats", 3)
    faces = kfkd.load_faces("folder", folder, quiet=True, normalise="left_ear,right_ear")
    assert faces.path.endswith("&normalise=left_ear,right_ear")
    assert as_faces(faces.path, quiet=True).skeleton == faces.skeleton


def test_a_run_on_ones_own_photos_with_boxes_crops_others_alike(layouts, tmp_path, tiny_zoo):
    header = "file,a_x,a_y,b_x,b_y,box_x,box_y,box_w,box_h"
    rows = [f"{i}.jpg,20,30,40,30,10,12,40,44" for i in range(12)]
    folder = layouts.write_folder(tmp_path / "cats", 12, header, rows)
    data = f"folder:{folder}?margin=0.2"
    run = kfkd.train("tiny", data, subsets="all", epochs=1, out=tmp_path / "run", quiet=True)
    photos = kfkd.load_photos("folder", folder, quiet=True)
    in_training = crop_matrices(photos, (96, 96), 0.2)[0]
    for name in ("given:folder", "mtcnn"):
        crop = crop_matrix(Face(tuple(photos.boxes[0])), run.crop_rule.resized((96, 96)), name)
        assert crop == pytest.approx(in_training)
    (found,) = kfkd.detect(run, photos.paths[0], detector="box", boxes=photos)
    assert found.faces[0].keypoints.shape == (2, 2)
    packed = kfkd.pack(run, tmp_path / "packed")
    assert "kfkd train tiny --data folder:DATA " in (packed / "MODEL_CARD.md").read_text()


def test_data_with_other_keypoints_than_the_runs_is_refused(layouts, tmp_path, tiny_zoo):
    folder = layouts.write_folder(tmp_path / "cats", 12)
    run = kfkd.train("tiny", str(folder), subsets="all", epochs=1, out=tmp_path / "run", quiet=True)
    header = "file,right_ear_x,right_ear_y,left_ear_x,left_ear_y,nose_x,nose_y,person"
    other = layouts.write_folder(tmp_path / "other", 4, header)
    with pytest.raises(DataError, match="or in another order: right_ear, left_ear, nose"):
        kfkd.evaluate(run, other, part="all")


def test_training_on_the_nose_tip_by_name(layouts, tmp_path, tiny_zoo):
    folder = layouts.write_imm(tmp_path / "imm", persons=4)
    run = kfkd.train(
        "tiny",
        f"imm:{folder}?size=60x80",
        subsets="nose",
        epochs=1,
        validation=0.5,
        out=tmp_path / "run",
        quiet=True,
    )
    assert run.frame == (60, 80, 1) and run.model("nose").output_shape == (None, 2)
    found = kfkd.predict(run, str(folder))
    assert not np.isnan(found[:, 52]).any() and np.isnan(found[:, :52]).all()
