import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kfkd.errors import DataError, KfkdError, UnknownName
from kfkd.faces import FaceSet, image_groups
from kfkd.metrics import image_errors, kaggle_rmse, mean_face, rmse
from kfkd.progress import Ticker, duration, epoch_line, say
from kfkd.skeletons import KAGGLE_15, SKELETONS, Skeleton, swaps_by_name
from kfkd.storage import files
from kfkd.text import table

NAN = float("nan")
AT = {name: index for index, name in enumerate(KAGGLE_15.points)}
SIDE = 4


def make_faces(n=5, seed=0, **changed):
    rng = np.random.Generator(np.random.PCG64(seed))
    images = rng.integers(0, 256, (n, SIDE, SIDE, 1), np.uint8)
    parts = {
        "images": images,
        "keypoints": rng.uniform(0, SIDE, (n, 15, 2)).astype(np.float32),
        "skeleton": KAGGLE_15,
        "source": np.where(np.arange(n) < n // 2, "full", "four_point"),
        "group": image_groups(images),
        "ids": np.arange(1, n + 1),
    }
    return FaceSet(**{**parts, **changed})


# Skeletons


def test_dense_and_sparse_are_kaggles_columns():
    columns = [2 * i + axis for i in KAGGLE_15.subset("dense") for axis in (0, 1)]
    assert columns == [0, 1, 2, 3, 20, 21, 28, 29]
    sparse = KAGGLE_15.subset("sparse")
    assert len(sparse) == 11
    assert sorted((*KAGGLE_15.subset("dense"), *sparse)) == list(range(15))
    assert KAGGLE_15.subset("all") == tuple(range(15))


def test_columns_carry_kaggles_names():
    columns = KAGGLE_15.columns
    assert len(columns) == 30
    assert columns[:3] == ("left_eye_center_x", "left_eye_center_y", "right_eye_center_x")
    assert columns[20:22] == ("nose_tip_x", "nose_tip_y")
    assert columns[28:] == ("mouth_center_bottom_lip_x", "mouth_center_bottom_lip_y")


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_mirroring_twice_is_the_identity(skeleton):
    mirror = skeleton.mirror
    assert tuple(mirror[i] for i in mirror) == tuple(range(len(skeleton)))


def test_mirror_swaps_left_and_right_names_and_nothing_else():
    for index, twin in enumerate(KAGGLE_15.mirror):
        name, twin_name = KAGGLE_15.points[index], KAGGLE_15.points[twin]
        swapped = name.replace("left", "*").replace("right", "left").replace("*", "right")
        assert twin_name == swapped
    assert KAGGLE_15.mirror[AT["nose_tip"]] == AT["nose_tip"]
    assert len(KAGGLE_15.swaps) == 6


def test_swaps_need_both_sides():
    assert swaps_by_name(("left_ear", "nose", "right_ear", "left_cheek")) == ((0, 2),)


def test_groups_cover_every_keypoint_once():
    covered = [i for group in KAGGLE_15.groups.values() for i in group]
    assert sorted(covered) == list(range(15))


def test_unknown_subset_is_refused_with_near_names():
    with pytest.raises(UnknownName, match=r"no subset of KAGGLE_15 is called 'dens'.*dense"):
        KAGGLE_15.subset("dens")
    assert Skeleton("two", ("a", "b")).subset("all") == (0, 1)


# Face sets


@pytest.mark.parametrize(
    ("part", "value", "wanted"),
    [
        ("images", np.zeros((5, SIDE, SIDE), np.uint8), r"images as uint8 \(n, h, w, c\)"),
        ("images", np.zeros((5, SIDE, SIDE, 1), np.float32), "images as uint8.*float32"),
        ("keypoints", np.zeros((5, 15, 2)), r"keypoints as float32 \(5, 15, 2\).*float64"),
        ("keypoints", np.zeros((4, 15, 2), np.float32), r"keypoints as .*\(4, 15, 2\)"),
        ("keypoints", np.zeros((5, 14, 2), np.float32), r"keypoints as .*\(5, 14, 2\)"),
        ("source", np.full(4, "full"), r"source as \(5,\)"),
        ("group", np.zeros((5, 1), np.uint64), r"group as \(5,\).*\(5, 1\)"),
        ("ids", np.arange(6), r"ids as \(5,\).*\(6,\)"),
    ],
)
def test_misfit_parts_are_refused(part, value, wanted):
    with pytest.raises(KfkdError, match=f"FaceSet wants {wanted}"):
        make_faces(5, **{part: value})


@pytest.mark.parametrize(
    "rows", [slice(1, 3), np.array([1, 2]), [1, 2], np.array([False, True, True, False, False])]
)
def test_rows_are_taken_from_every_part(rows):
    faces = make_faces(5)
    picked = faces[rows]
    assert len(picked) == 2 and picked.ids.tolist() == [2, 3]
    for part in ("images", "keypoints", "source", "group"):
        np.testing.assert_array_equal(getattr(picked, part), getattr(faces, part)[1:3])


def test_labelled_marks_what_is_there():
    keypoints = make_faces(5).keypoints.copy()
    keypoints[2, 3, 1] = NAN
    labelled = make_faces(5, keypoints=keypoints).labelled
    assert labelled.sum() == 5 * 30 - 1 and not labelled[2, 3, 1]


@given(st.data())
def test_fingerprint_changes_with_any_pixel_label_or_id(data):
    faces = make_faces(3)
    part = data.draw(st.sampled_from(["images", "keypoints", "ids"]))
    changed = getattr(faces, part).copy()
    place = data.draw(st.integers(0, changed.size - 1))
    changed.flat[place] = changed.flat[place] + 1
    assert replace(faces, **{part: changed}).fingerprint != faces.fingerprint


def test_fingerprint_is_the_contents_not_the_memory():
    faces = make_faces(4)
    strided = replace(faces, images=np.asfortranarray(faces.images))
    assert strided.fingerprint == make_faces(4).fingerprint == faces.fingerprint
    assert len(faces.fingerprint) == 16
    assert faces[[1, 0, 2, 3]].fingerprint != faces.fingerprint


def test_groups_are_equal_for_identical_images_only():
    images = make_faces(4).images
    groups = image_groups(np.concatenate([images, images[2:3]]))
    assert groups.dtype == np.uint64 and len(np.unique(groups)) == 4
    assert groups[4] == groups[2]
    assert image_groups(images[:0]).shape == (0,)


# Metrics


def test_rmse_is_one_mean_over_all_labelled_values():
    truth = np.array([[[1.0, NAN], [2.0, 5.0]], [[NAN, NAN], [0.0, 0.0]]])
    predicted = np.array([[[2.0, 9.0], [2.0, NAN]], [[7.0, 7.0], [0.0, 4.0]]])
    assert rmse(truth, predicted) == pytest.approx(np.sqrt((1 + 0 + 0 + 16) / 4))
    assert np.isnan(rmse(np.full((2, 2), NAN), np.zeros((2, 2))))


@given(hnp.arrays(np.float32, (6, 3, 2), elements=st.floats(-100, 100, width=32)), st.data())
def test_rmse_ignores_what_is_predicted_where_nothing_is_labelled(truth, data):
    hidden = data.draw(hnp.arrays(bool, truth.shape))
    masked = np.where(hidden, NAN, truth)
    noise = data.draw(hnp.arrays(np.float32, truth.shape, elements=st.floats(-9, 9, width=32)))
    known = ~hidden
    error = rmse(masked, truth + noise)
    if known.any():
        squares = ((truth + noise).astype(np.float64) - truth)[known] ** 2
        assert error == pytest.approx(np.sqrt(squares.mean()))
    else:
        assert np.isnan(error)


def test_kaggle_rmse_weighs_the_sources_as_the_test_set_does():
    truth = np.zeros((3, 15, 2))
    predicted = np.array([2.0, 2.0, 5.0])[:, None, None] + truth
    source = np.array(["full", "full", "four_point"])
    expected = np.sqrt(0.649 * 2.0**2 + 0.351 * 5.0**2)
    assert kaggle_rmse(truth, predicted, source) == pytest.approx(expected)


@pytest.mark.parametrize("only", ["full", "four_point"])
def test_kaggle_rmse_of_one_source_is_its_rmse(only):
    truth, predicted = np.zeros((2, 15, 2)), np.full((2, 15, 2), 3.0)
    assert kaggle_rmse(truth, predicted, np.full(2, only)) == pytest.approx(3.0)


def test_mean_face_is_the_mean_of_the_labels():
    keypoints = np.array([[[1.0, 2.0], [NAN, NAN]], [[3.0, NAN], [NAN, NAN]]], np.float32)
    mean = mean_face(keypoints)
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, np.array([[2.0, 2.0], [NAN, NAN]], np.float32))


def test_mean_face_minimises_the_rmse():
    keypoints = make_faces(50).keypoints
    best = np.broadcast_to(mean_face(keypoints), keypoints.shape)
    assert rmse(keypoints, best) < rmse(keypoints, best + 0.1)


def test_image_errors_are_the_rmse_of_each_image():
    truth = np.array([[[0.0, 0.0]], [[NAN, 1.0]], [[NAN, NAN]]])
    predicted = np.array([[[3.0, 4.0]], [[9.0, 3.0]], [[1.0, 1.0]]])
    np.testing.assert_allclose(image_errors(truth, predicted), [np.sqrt(12.5), 2.0, NAN])


# Files


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(failure), files.replacing(path) as beside:
        beside.write_text("half of the n")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_write_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "new.csv"
    for text in ("one", "two"):
        with files.replacing(path) as beside:
            assert beside.suffix == ".csv" and beside.parent == path.parent
            beside.write_text(text)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o444


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KfkdError, match=r"cannot write .*x\.txt"):
        files.write_text(tmp_path / "file" / "x.txt", "")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(KfkdError, match=r"cannot write .*folder\.txt"):
        files.write_text(tmp_path / "folder.txt", "")
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder.txt"}


@pytest.mark.parametrize("value", [NAN, float("inf"), {"deep": [1.0, -float("inf")]}])
def test_json_refuses_what_is_no_json_number(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", value)
    assert not list(tmp_path.iterdir())


def test_json_comes_back(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": [1, 2.5, None, "é"]})
    assert files.read_json(path) == {"a": [1, 2.5, None, "é"]} == json.loads(path.read_bytes())
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_json_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(KfkdError, match=r"x\.json is not valid JSON"):
        files.read_json(path)
    with pytest.raises(KfkdError, match=r"absent\.json: cannot be read"):
        files.read_json(tmp_path / "absent.json")


def test_file_digest_is_sha256(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert files.file_digest(path).startswith("ba7816bf8f01cfea")


# Errors


def test_errors_say_where():
    error = DataError("wants a number", file="t.csv", row=3, column="nose_tip_x")
    assert str(error) == "t.csv, row 3, column nose_tip_x: wants a number"
    assert (error.row, error.column) == (3, "nose_tip_x")
    assert isinstance(error, ValueError)


def test_an_unknown_name_lists_the_nearest_or_all():
    assert "did you mean lenet5?" in str(UnknownName("model", "lenet", ["lenet5", "vgg16"]))
    assert "did you mean lenet5, vgg16?" in str(UnknownName("model", "?", ["vgg16", "lenet5"]))


# Text


def test_tables_align_words_left_and_numbers_right():
    text = table(("name", "px"), [("a", "1.5"), ("longer", "12,345.25"), ("none", "—")])
    assert text.splitlines() == [
        "name           px",
        "------  ---------",
        "a             1.5",
        "longer  12,345.25",
        "none            —",
    ]


def test_tables_show_any_cell_and_no_rows():
    assert table(("a", "b"), [(None, 1)]).splitlines()[-1] == "None  1"
    assert table(("a", "bc"), []) == "a  bc\n-  --"


# Progress


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (99, "99 s"), (200, "3 min 20 s"), (3599.7, "1 h 00 min"), (3905, "1 h 05 min")],
)
def test_durations_are_for_people(seconds, shown):
    assert duration(seconds) == shown


def test_an_epochs_line_has_the_mean_face_beside_the_validation_error():
    row = {"epoch": 3, "rmse": 2.5, "val_rmse": 2.25, "learning_rate": 0.0004, "seconds": 61.0}
    line = epoch_line("dense", 100, row, 3.456)
    assert line == (
        "dense   3/100  train 2.500 px  validation 2.250 px (mean face 3.46)  lr 0.0004  61 s"
    )
    del row["val_rmse"]
    assert "validation" not in epoch_line("dense", 100, row, 3.456)


def test_quiet_is_quiet(capsys):
    say("unheard", quiet=True)
    Ticker(quiet=True).show("unseen")
    say("heard")
    Ticker().show("no terminal, no line")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "heard\n")
