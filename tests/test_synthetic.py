import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from kfkd.errors import KfkdError
from kfkd.pipelines.drawing import SIZE, draw_face
from kfkd.pipelines.kaggle import read_id_table
from kfkd.pipelines.synthetic import (
    MARKER,
    synthetic_faces,
    synthetic_id_table,
    synthetic_test_faces,
    write_kaggle_folder,
)
from kfkd.skeletons import KAGGLE_15

AT = {name: index for index, name in enumerate(KAGGLE_15.points)}
SPARSE = list(KAGGLE_15.subset("sparse"))
TRAIN, TEST = 80, 90


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(1500, seed=3)


@pytest.fixture(scope="module")
def drawn():
    return [draw_face(np.random.Generator(np.random.PCG64([9, i]))) for i in range(200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_kaggle_folder(tmp_path_factory.mktemp("kaggle"), train=TRAIN, test=TEST, seed=4)


@pytest.fixture(scope="module")
def lookup(folder):
    return pd.read_csv(folder / "IdLookupTable.csv")


@pytest.fixture(scope="module")
def solution(folder):
    return pd.read_csv(folder / "solution.csv")


def pixels(column):
    return np.stack([np.array(text.split(" "), np.uint8) for text in column])


def spot(image, point, reach):
    x, y = np.rint(point).astype(int)
    return image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].mean()


def test_shapes_and_types(faces):
    assert faces.images.shape == (1500, SIZE, SIZE, 1) and faces.images.dtype == np.uint8
    assert faces.keypoints.shape == (1500, 15, 2) and faces.keypoints.dtype == np.float32
    assert faces.skeleton is KAGGLE_15 and faces.origin == "synthetic"
    assert faces.ids.tolist() == list(range(1, 1501))


def test_same_seed_same_faces():
    assert synthetic_faces(40, seed=1).fingerprint == synthetic_faces(40, seed=1).fingerprint
    assert synthetic_faces(40, seed=1).fingerprint != synthetic_faces(40, seed=2).fingerprint


def test_pictures_do_not_depend_on_the_number_of_faces(faces):
    assert np.array_equal(synthetic_faces(60, seed=3).images, faces.images[:60])


def test_full_rows_come_first(faces):
    full = faces.source == "full"
    assert full[:480].all() and (faces.source[480:] == "four_point").all()


def test_four_point_rows_have_only_the_dense_points(faces):
    four = faces.labelled[faces.source == "four_point"].all(axis=2)
    assert not four[:, SPARSE].any()
    assert set(four.sum(axis=1)) == {3, 4}


def test_some_full_rows_miss_labels(faces):
    known = faces.labelled[faces.source == "full"].all(axis=2).sum(axis=1)
    assert 0.02 < (known < 15).mean() < 0.12
    assert known.min() >= 8


def test_the_two_conventions_differ(faces):
    full = faces.source == "full"
    apart = np.nanmean(
        faces.keypoints[~full][:, [AT["nose_tip"], AT["mouth_center_bottom_lip"]]], 0
    )
    apart -= np.nanmean(
        faces.keypoints[full][:, [AT["nose_tip"], AT["mouth_center_bottom_lip"]]], 0
    )
    assert apart[0, 1] == pytest.approx(6.5, abs=0.8)
    assert apart[1, 1] == pytest.approx(-4.0, abs=0.8)


def test_conventions_agree_on_every_other_point(drawn):
    gap = np.mean([face.four_point - face.full for face in drawn], axis=0)
    moved = [AT["nose_tip"], AT["mouth_center_bottom_lip"]]
    assert gap[moved, 1] == pytest.approx([6.5, -4.0], abs=0.2)
    assert not np.delete(gap, moved, axis=0).any()


def test_left_is_the_persons_left(drawn):
    full = np.mean([face.full for face in drawn], axis=0)
    for left, right in KAGGLE_15.swaps:
        assert full[left, 0] > 48 > full[right, 0]


def test_keypoints_lie_inside(faces, drawn):
    known = faces.keypoints[faces.labelled]
    assert known.min() >= 0 and known.max() <= SIZE - 1
    everything = np.array([(face.full, face.four_point) for face in drawn])
    assert everything.min() >= 0 and everything.max() <= SIZE - 1


def test_repeated_pictures_share_a_group_and_not_their_labels(faces):
    _, first, inverse, count = np.unique(
        faces.group, return_index=True, return_inverse=True, return_counts=True
    )
    repeats = len(faces) - len(first)
    assert 0.02 < repeats / len(faces) < 0.07
    for row in np.flatnonzero(count[inverse] > 1):
        twin = first[inverse[row]]
        assert np.array_equal(faces.images[row], faces.images[twin])
        assert row == twin or not np.array_equal(faces.keypoints[row], faces.keypoints[twin])


@pytest.mark.parametrize("name", ["left_eye_center", "right_eye_center"])
def test_pupils_are_darker_than_the_eye_around_them(drawn, name):
    for dx in (-4.5, 4.5):
        around = [spot(f.image, f.full[AT[name]] + (dx, 0), 0) for f in drawn]
        assert np.mean([spot(f.image, f.full[AT[name]], 0) for f in drawn]) < np.mean(around) - 15


@pytest.mark.parametrize(
    ("name", "dark", "light"),
    [
        ("left_eyebrow_inner_end", (1.5, 0), (-3, 0)),
        ("right_eyebrow_inner_end", (-1.5, 0), (3, 0)),
        ("nose_tip", (0, 5), (0, 0)),
        ("mouth_left_corner", (-2, 0), (3, 0)),
        ("mouth_right_corner", (2, 0), (-3, 0)),
        ("mouth_center_top_lip", (0, 1.5), (0, -2)),
    ],
)
def test_features_are_painted_at_their_points(drawn, name, dark, light):
    tones = [[spot(f.image, f.full[AT[name]] + step, 0) for step in (dark, light)] for f in drawn]
    assert np.subtract(*np.mean(tones, axis=0)) < -8


def test_folder_reads_back_as_the_faces_in_memory(folder):
    table, faces = pd.read_csv(folder / "training.csv"), synthetic_faces(TRAIN, seed=4)
    assert list(table.columns) == [*KAGGLE_15.columns, "Image"]
    labels = table.iloc[:, :30].to_numpy(np.float32).reshape(-1, 15, 2)
    assert np.array_equal(labels, faces.keypoints, equal_nan=True)
    assert np.array_equal(pixels(table.Image).reshape(faces.images.shape), faces.images)


def test_test_faces_are_others(folder):
    table = pd.read_csv(folder / "test.csv")
    assert list(table.columns) == ["ImageId", "Image"]
    assert table.ImageId.tolist() == list(range(1, TEST + 1))
    train = {image.tobytes() for image in synthetic_faces(TRAIN, seed=4).images}
    assert not train & {image.tobytes() for image in pixels(table.Image)}


def test_test_faces_in_memory_are_those_of_the_folder(folder):
    table, faces = pd.read_csv(folder / "test.csv"), synthetic_test_faces(TEST, seed=4)
    assert np.array_equal(pixels(table.Image).reshape(faces.images.shape), faces.images)
    assert faces.ids.tolist() == table.ImageId.tolist()
    assert np.isnan(faces.keypoints).all() and faces.keypoints.dtype == np.float32
    assert faces.origin == "synthetic"
    assert synthetic_test_faces(7, seed=4).fingerprint == faces[:7].fingerprint


def test_id_table_in_memory_is_that_of_the_folder(folder):
    made, read = synthetic_id_table(TEST, seed=4), read_id_table(folder)
    for name in ("row_id", "image_id", "column"):
        a, b = getattr(made, name), getattr(read, name)
        assert a.dtype == b.dtype == np.int64
        np.testing.assert_array_equal(a, b)
    assert made.file == "built-in faces"
    faces = synthetic_test_faces(TEST, seed=4)
    made.check_images(faces.ids)
    assert made.source(faces.ids).tolist() == faces.source.tolist()


def test_tables_agree(folder, lookup, solution):
    sample = pd.read_csv(folder / "SampleSubmission.csv")
    assert lookup.Location.isna().all() and (sample.Location == 0).all()
    assert lookup.RowId.tolist() == sample.RowId.tolist() == list(range(1, len(lookup) + 1))
    keys = ["RowId", "ImageId", "FeatureName"]
    assert solution[keys].equals(lookup[keys])
    assert solution.Location.between(0, SIZE - 1).all()
    order = lookup.FeatureName.map(KAGGLE_15.columns.index)
    assert (lookup.ImageId * 30 + order).is_monotonic_increasing


def test_a_third_of_the_images_is_asked_for_everything(lookup):
    asked = lookup.groupby("ImageId").size()
    assert asked.index.tolist() == list(range(1, TEST + 1))
    assert 0.2 < (asked > 8).mean() < 0.45
    assert (asked[asked <= 8] >= 6).all() and (asked[asked > 8] >= 16).all()


def test_usage_is_by_image_and_about_half(solution):
    usage = solution.groupby("ImageId").Usage.unique()
    assert (usage.map(len) == 1).all()
    assert 0.3 < (usage.map(lambda u: u[0]) == "Public").mean() < 0.7


def test_folder_is_marked(folder):
    assert json.loads((folder / MARKER).read_text()) == {
        "generator": "kfkd.pipelines.synthetic",
        "seed": 4,
        "train": TRAIN,
        "test": TEST,
    }


def test_zipped_folder_holds_the_same_and_replaces_the_other(tmp_path):
    write_kaggle_folder(tmp_path, train=3, test=2)
    plain = (tmp_path / "training.csv").read_bytes()
    write_kaggle_folder(tmp_path, train=3, test=2, zipped=True)
    assert not list(tmp_path.glob("t*.csv")) and not list(tmp_path.glob(".*"))
    with zipfile.ZipFile(tmp_path / "training.zip") as archive:
        assert archive.namelist() == ["training.csv"]
        assert archive.read("training.csv") == plain
    first = (tmp_path / "test.zip").read_bytes()
    write_kaggle_folder(tmp_path, train=3, test=2, zipped=True)
    assert (tmp_path / "test.zip").read_bytes() == first
    assert len(pd.read_csv(io.BytesIO(plain))) == 3


@pytest.mark.parametrize("n", [0, -1, 2.5, "7", True, None])
@pytest.mark.parametrize("make", [synthetic_faces, synthetic_test_faces, synthetic_id_table])
def test_bad_number_of_faces(n, make):
    with pytest.raises(KfkdError, match=r"n must be a whole number from 1\. Received: n="):
        make(n)


@pytest.mark.parametrize("bad", [{"train": 0}, {"test": 0}, {"seed": -1}])
def test_bad_folder_arguments_write_nothing(tmp_path, bad):
    with pytest.raises(KfkdError, match=f"{next(iter(bad))} must be a whole number"):
        write_kaggle_folder(tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KfkdError, match="cannot write"):
        write_kaggle_folder(tmp_path / "file", train=1, test=1)


def test_foreign_competition_files_are_not_replaced(tmp_path):
    (tmp_path / "training.zip").write_text("real")
    with pytest.raises(KfkdError, match=r"would replace training\.zip"):
        write_kaggle_folder(tmp_path, train=1, test=1)
    assert [path.name for path in tmp_path.iterdir()] == ["training.zip"]


def test_one_face():
    assert synthetic_faces(1).source.tolist() == ["full"]


def test_importing_is_cheap():
    heavy = (
        "import sys, kfkd.pipelines.synthetic; sys.exit(bool({'cv2', 'keras'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0
