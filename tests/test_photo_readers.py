"""The readers of photos: what they find, and what they say of what is not as it should be."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import kfkd
from kfkd.errors import DataError, KfkdError, UnknownName
from kfkd.pipelines.photo_facts import photo_facts
from kfkd.prediction import write_course_predictions
from kfkd.skeletons import IBUG_68, IMM_58, KAGGLE_15, Skeleton, own_skeleton, skeleton_from


def load(name, path, part="train"):
    return kfkd.load_photos(name, path, part, quiet=True)


def test_imm(layouts, tmp_path):
    photos = load("imm", layouts.write_imm(tmp_path / "imm"))
    assert len(photos) == 6 and photos.skeleton is IMM_58 and photos.origin == "imm"
    np.testing.assert_allclose(photos.keypoints[1], layouts.points_of(12, 58), atol=1e-4)
    assert photos.sizes.tolist() == [[64, 48]] * 6 and np.isnan(photos.boxes).all()
    groups = photos.group.tolist()
    assert len(set(groups[:3])) == len(set(groups[3:])) == 1 and groups[0] != groups[3]
    assert load("imm", tmp_path).group.tolist() == groups, "a folder deeper"


def test_imm_photo_of_the_same_name_stands_in_for_the_one_named(layouts, tmp_path):
    folder = layouts.write_imm(tmp_path, persons=1, poses=1)
    (folder / "01-1m.asf").write_text(layouts.asf(layouts.points_of(11, 58), host="renamed.bmp"))
    assert load("imm", folder).paths.tolist() == [str(folder / "01-1m.jpg")]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n58\n", "\n57\n", r"01-1m.asf: received 57 points in 58 lines, wanted 58"),
        ("0 0 0.", "0 0 x.", r"01-1m.asf, row 1, column x rel.: received 'x"),
        ("\n1 0 ", "\n2 0 ", r"row 14: received point 13 of path 2, .* in another order"),
        ("12 12 12", "13 12 12", r"row 13: received point 13 of path 0, wanted point 12 of path 0"),
        ("0 0 0.", "0 0 320.", r"row 1, column x rel.: received 320.* wanted a share"),
        ("01-1m.jpg", "02-1m.jpg", None),
        ("# AAM", "\0", "is not a text file"),
    ],
)
def test_broken_imm_is_named(layouts, tmp_path, old, new, message):
    folder = layouts.write_imm(tmp_path, persons=1, poses=1)
    text = (folder / "01-1m.asf").read_text()
    assert old in text
    (folder / "01-1m.asf").write_text(text.replace(old, new, 1))
    if message is None:
        (folder / "01-1m.jpg").unlink()
        message = r"01-1m.asf: its photo 02-1m.jpg is not there"
    with pytest.raises(DataError, match=message):
        load("imm", folder)


def test_imm_wants_persons_in_its_names(layouts, tmp_path):
    folder = layouts.write_imm(tmp_path, persons=1, poses=1)
    (folder / "01-1m.asf").rename(folder / "ann.asf")
    with pytest.raises(DataError, match=r"ann.asf: wanted a name with person and pose"):
        load("imm", folder)


def test_ibug(layouts, tmp_path):
    folder = layouts.write_ibug(tmp_path / "ibug")
    photos = load("ibug", folder)
    assert len(photos) == 4 and photos.skeleton is IBUG_68
    np.testing.assert_array_equal(photos.keypoints[2], layouts.points_of(2, 68))
    assert photos.boxes.tolist() == [[10, 8, 40, 30]] * 4
    assert len(set(photos.group.tolist())) == 4
    test = load("ibug", folder, "test")
    assert len(test) == 2 and not test.labelled.any()
    assert len(load("ibug", folder / "labels_ibug_300W_train.xml", "test")) == 4


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arrays(np.int64, (68, 2), elements=st.integers(1, 48)))
def test_ibugs_points_count_from_1_and_its_boxes_from_0(layouts, tmp_path, numbers):
    """The course's file gives the XML's numbers back, and nothing moves the box."""
    folder = layouts.write_ibug(tmp_path, count=1, test=0)
    (folder / "labels_ibug_300W_train.xml").write_text(
        layouts.ibug_xml([("lfpw/0.jpg", layouts.box_xml(numbers - 1))])
    )
    photos = load("ibug", folder)
    np.testing.assert_array_equal(photos.keypoints[0], numbers - 1)
    assert photos.boxes.tolist() == [[10, 8, 40, 30]]
    faces = kfkd.load_faces("ibug", folder, size=(24, 24), cache=False, quiet=True)
    file = write_course_predictions(tmp_path / "c.csv", faces, faces.keypoints)
    values = [float(line.split(",")[1]) for line in file.read_text().splitlines()[1:]]
    np.testing.assert_allclose(values, numbers.ravel(), atol=1e-3)


def test_ibug_identical_photos_and_faces_of_one_photo_share_a_group(layouts, tmp_path):
    folder = layouts.write_ibug(tmp_path)
    shutil.copy(folder / "lfpw" / "0.jpg", folder / "lfpw" / "1.jpg")
    two = layouts.box_xml(layouts.points_of(0, 68)) + layouts.box_xml([], (1, 1, 9, 9))
    ignored = layouts.box_xml([]).replace("<box ", '<box ignore="1" ')
    rows = [("lfpw/0.jpg", two), ("lfpw/1.jpg", layouts.box_xml([])), ("lfpw/2.jpg", ignored)]
    file = folder / "labels_ibug_300W_train.xml"
    file.write_text(layouts.ibug_xml(rows))
    photos = load("ibug", folder)
    assert len(photos) == 3 and len(set(photos.group.tolist())) == 1
    assert photos.notes == ("1 images without a box are left out",)
    assert load("ibug", folder)[1:].boxes[0].tolist() == [1, 1, 9, 9]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</dataset>", "", r"train.xml, row 5: is not well-formed XML: no element found: line 1"),
        ("</image>", "</imag>", r"train.xml, row 1: is not well-formed XML: mismatched tag"),
        ('<part name="67"', '<p name="67"', r"row 1: lfpw/0.jpg: received 67 points, wanted 68"),
        ('<part name="67"', '<part name="66"', r"row 1: lfpw/0.jpg: point 66 is there twice"),
        ('<part name="67"', '<part name="nose"', r"a point called 'nose', wanted 00 to 67"),
        ('<part name="00" x="', '<part name="00" x="a', r"x of part 00: received 'a\d+', wanted"),
        ('<part name="00" x="', '<part name="00" z="', r"x of part 00: received None, wanted"),
        ('left="10"', 'left="64"', r"row 1: the box \[64.0, .* lies outside the photo of 64 × 48"),
        ('left="10"', 'left="-40.5"', r"row 1: the box .* lies outside the photo"),
        ('width="40"', 'width="0"', r"row 1: the box .* has no area"),
        ('width="40"', 'width="nan"', r"row 1: lfpw/0.jpg: width of box: received 'nan'"),
        ('file="lfpw/0.jpg"', "", r"row 1: the image names no file"),
        ("lfpw/1.jpg", "lfpw/none.jpg", r"train.xml, row 2: its photo .*none.jpg: .*no such file"),
        ('width="64"', 'width="65"', r"row 1: the photo is 64 × 48 pixels, .* one of 65 × 48"),
        ("<image ", "<picture ", r"train.xml(, row 1)?: (is not well-formed|holds no <image>)"),
    ],
)
def test_broken_ibug_is_named(layouts, tmp_path, old, new, message):
    file = layouts.write_ibug(tmp_path) / "labels_ibug_300W_train.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load("ibug", tmp_path)


def test_unreadable_photo_is_named(layouts, tmp_path):
    folder = layouts.write_ibug(tmp_path)
    (folder / "lfpw" / "2.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(DataError, match=r"train.xml, row 3: its photo .*2.jpg: is no image"):
        load("ibug", folder)


def test_photo_cut_short_is_named_when_it_is_decoded(layouts, tmp_path):
    folder = layouts.write_ibug(tmp_path)
    whole = (folder / "lfpw" / "2.jpg").read_bytes()
    (folder / "lfpw" / "2.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    assert len(load("ibug", folder)) == 4
    message = r"2.jpg: cannot be read as an image: .*truncated.* \(face 3 of .*train.xml\)"
    with pytest.raises(DataError, match=message) as told:
        kfkd.load_faces("ibug", folder, quiet=True)
    assert str(told.value.file).endswith("2.jpg")


def test_pts(layouts, tmp_path):
    photos = load("pts", layouts.write_pts(tmp_path / "afw"))
    np.testing.assert_allclose(photos.keypoints[1], layouts.points_of(1, 68), atol=1e-4)
    points = layouts.points_of(1, 68)
    wanted = [*points.min(0), *np.ptp(points, axis=0)]
    np.testing.assert_allclose(photos.boxes[1], wanted, atol=1e-4)


def test_pts_parts(layouts, tmp_path):
    layouts.write_pts(tmp_path / "lfpw" / "testset", 2)
    with pytest.raises(DataError, match='holds test sets only; ask for part="test"'):
        load("pts", tmp_path)
    layouts.write_pts(tmp_path / "lfpw" / "trainset", 3)
    assert (len(load("pts", tmp_path)), len(load("pts", tmp_path, "test"))) == (3, 2)
    assert len(load("pts", tmp_path / "lfpw" / "testset")) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_points: 68", "n_points: 67", r"a_0.pts: received 67 points in 68 lines, wanted 68"),
        ("}", "1 1\n}", r"a_0.pts: received 68 points in 69 lines, wanted 68"),
        ("{", "", r"a_0.pts: is no file of points, wanted version: 1"),
        ("{\n", "{\nx ", r"a_0.pts, row 1: received 3 numbers, wanted x and y"),
        ("{\n", "{\nx", r"a_0.pts, row 1, column x: received 'x\d"),
    ],
)
def test_broken_pts_is_named(layouts, tmp_path, old, new, message):
    file = layouts.write_pts(tmp_path, 1) / "a_0.pts"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load("pts", tmp_path)


def test_pts_without_photo_is_named(layouts, tmp_path):
    (layouts.write_pts(tmp_path) / "a_1.png").unlink()
    with pytest.raises(DataError, match=r"a_1.pts: no photo a_1.jpg or .png lies beside it"):
        load("pts", tmp_path)


def test_youtube_faces(layouts, tmp_path):
    folder = layouts.write_youtube(tmp_path / "youtube")
    photos = load("youtube_faces", folder)
    assert len(photos) == 4 and photos.sizes[:, 0].tolist() == [64, 64, 72, 72]
    np.testing.assert_array_equal(photos.keypoints[3], layouts.points_of(11, 68))
    a, b, c, d = photos.group.tolist()
    assert a == b != c == d
    test = load("youtube_faces", tmp_path, "test")
    assert test.group.tolist() == [a, b, c, d], "the same person in both parts"
    faces = kfkd.load_faces("youtube_faces", folder, size=(48, 64), channels=3, quiet=True)
    assert faces.images.shape == (4, 48, 64, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",0,1,2,", ",0,2,1,", r"training_frames_keypoints.csv, column 2: wanted column 1 here"),
        (",134,135", ",134", r"received 136 columns, wanted the frame's name and 136"),
        (".0\n", ".0,1\n", r"csv, row 1: received 138 fields, wanted 137 as in the header"),
        (".0\n", "\n", None),
        (".0\n", "a\n", r"csv, row 1, column 135: received '\d+a', wanted a number"),
        ("Ann_Lee_00.jpg", "Eve_00.jpg", r"csv, row 1: its photo .*Eve_00.jpg: .*no such file"),
        ("Ann_Lee_00.jpg", "", r"csv, row 1: names no frame"),
    ],
)
def test_broken_youtube_faces_is_named(layouts, tmp_path, old, new, message):
    file = layouts.write_youtube(tmp_path) / "training_frames_keypoints.csv"
    file.write_text(file.read_text().replace(old, new, 1))
    if message is None:
        assert len(load("youtube_faces", tmp_path)) == 4
        return
    with pytest.raises(DataError, match=message):
        load("youtube_faces", tmp_path)


def test_own_folder(layouts, tmp_path):
    photos = load("folder", layouts.write_folder(tmp_path))
    assert photos.skeleton == own_skeleton(["left_ear", "right_ear", "nose"])
    assert photos.skeleton.swaps == ((0, 1),) and photos.skeleton.name == "own"
    np.testing.assert_array_equal(photos.keypoints[4], layouts.points_of(4, 3))
    assert np.isnan(photos.keypoints[5, 2]).all() and not np.isnan(photos.keypoints[5, :2]).any()
    assert len(set(photos.group.tolist())) == 3, "three cats"
    assert len(load("folder", tmp_path / "cats.csv", "test")) == 6


def test_own_folder_with_boxes_and_another_order_of_columns(layouts, tmp_path):
    header = "nose_x,age,image,eye_x,box_w,box_h,box_x,box_y,nose_y,eye_y"
    photos = load(
        "folder", layouts.write_folder(tmp_path, 1, header, ["1,9,0.jpg,2,30,20,5,6,3,4"])
    )
    assert photos.keypoints.tolist() == [[[1, 3], [2, 4]]]
    assert photos.boxes.tolist() == [[5, 6, 30, 20]]
    assert photos.notes == ("age: no keypoint, left out",)


def test_own_folder_with_a_box_of_some_faces_only_is_refused(layouts, tmp_path):
    header, rows = "file,a_x,a_y,box_x,box_y,box_w,box_h", ["0.jpg,1,2,5,6,30,20", "1.jpg,1,2,,,,"]
    with pytest.raises(DataError, match="row 2, column box_x"):
        load("folder", layouts.write_folder(tmp_path, 2, header, rows))
    photos = load("folder", layouts.write_folder(tmp_path, 1, header, rows[:1]))
    assert repr(photos).startswith("<PhotoSet of 1 faces, 1 keypoints of own, from ")


def test_own_folder_with_the_points_of_a_known_skeleton_has_its_order(layouts, tmp_path):
    header = ",".join(["file", *KAGGLE_15.columns[2:], *KAGGLE_15.columns[:2]])
    row = ",".join(["0.jpg", *map(str, range(30))])
    photos = load("folder", layouts.write_folder(tmp_path, 1, header, [row]))
    assert photos.skeleton is KAGGLE_15 and photos.keypoints[0, :2].tolist() == [[28, 29], [0, 1]]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("nose_x,nose_y", "1,2", r"cats.csv, column file: the header lacks it. Received: nose_x"),
        ("file", "0.jpg", r"cats.csv: the header names no keypoint, wanted a column 'file' and"),
        ("file,nose_x", "0.jpg,1", r"column nose_x: the header lacks nose_y"),
        ("file,nose_y,nose_x", "0.jpg,1,2", r"column nose_y: it stands before nose_x, wanted x"),
        ("file,a_x,a_y,a_x", "0.jpg,1,2,3", r"column a_x: the column is there twice"),
        ("file,a_x,a_y,box_x", "0.jpg,1,2,3", r"column box_x: a box wants box_x, box_y, box_w"),
        ("file,a_x,a_y", "0.jpg,1", r"row 1: received 2 fields, wanted 3 as in the header"),
        ("file,a_x,a_y", "0.jpg,1,inf", r"row 1, column a_y: received 'inf', wanted a number"),
        ("file,a_x,a_y", "0.jpg,,2", r"row 1, column a_x: is empty, wanted both coordinates"),
        ("file,a_x,a_y", ",1,2", r"row 1, column file: names no photo"),
        ("file,a_x,a_y", "7.jpg,1,2", r"cats.csv, row 1: its photo .*7.jpg: .*no such file"),
        ("file,a_x,a_y", "cats.csv,1,2", r"cats.csv, row 1: its photo .*: is no image"),
        ("file;a_x;a_y", "0.jpg;1;2", r"received fields with ; between them, wanted commas"),
        ("file,a_x,a_y", '0.jpg,1,"2', r"cats.csv, row 1: is not a CSV file"),
        ("", "", r"cats.csv: holds no rows"),
        ("file,_x,_y", "0.jpg,1,2", r"keypoints want names, each once"),
        (
            "file,a_x,a_y,box_x,box_y,box_w,box_h",
            "0.jpg,1,2,64,0,9,9",
            r"cats.csv, row 1: the box .* lies outside the photo of 64 × 48",
        ),
    ],
)
def test_broken_own_folder_is_named(layouts, tmp_path, header, row, message):
    with pytest.raises(KfkdError, match=message):
        load("folder", layouts.write_folder(tmp_path, 1, header, [row]))


def test_own_folder_names_the_points_that_normalise(layouts, tmp_path):
    folder = layouts.write_folder(tmp_path)
    ears = kfkd.load_photos("folder", folder, quiet=True, normalise=["right_ear", "left_ear"])
    assert ears.skeleton.normaliser == ears.skeleton.eyes == (1, 0)
    skewed = kfkd.load_photos("folder", folder, quiet=True, normalise=["nose", "left_ear"])
    assert skewed.skeleton.normaliser == (2, 0)
    assert skewed.skeleton.eyes is None, "they do not tell how a face turns"
    wanted = r"normalise wants two different keypoints of left_ear, right_ear, nose\. Received: "
    for names in (["nose"], ["nose", "nose"], ["nose", "tail"], ["left_ear", "nose", "tail"]):
        with pytest.raises(KfkdError, match=wanted + ", ".join(names)):
            kfkd.load_photos("folder", folder, quiet=True, normalise=names)
    with pytest.raises(KfkdError, match=r"for your own photos, folder:PATH\. Received: imm"):
        kfkd.load_photos("imm", folder, normalise=["nose", "left_ear"])


def test_own_folder_with_several_tables(layouts, tmp_path):
    folder = layouts.write_folder(tmp_path)
    shutil.copy(folder / "cats.csv", folder / "dogs.csv")
    with pytest.raises(DataError, match=r"holds cats.csv, dogs.csv: name one of them, or call"):
        load("folder", folder)
    shutil.copy(folder / "cats.csv", folder / "train.csv")
    assert len(load("folder", folder)) == 6
    with pytest.raises(DataError, match=r"or call it test.csv"):
        load("folder", folder, "test")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("imm", r"holds no \*.asf, wanted the folder of the IMM Face Database"),
        ("ibug", r"wanted labels_ibug_300W_train.xml, or a folder with it"),
        ("pts", r"holds no .pts files, wanted a folder of photos"),
        ("youtube_faces", r"holds no training_frames_keypoints.csv, wanted a folder with"),
        ("folder", r"holds no \*.csv, wanted a CSV file with a column 'file' and NAME_x"),
    ],
)
def test_empty_and_absent_folders_are_named(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        load(name, tmp_path)
    with pytest.raises(DataError, match="absent"):
        load(name, tmp_path / "absent")


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(UnknownName, match="did you mean imm"):
        load("im", tmp_path)
    with pytest.raises(UnknownName, match="no part of a data set"):
        load("imm", tmp_path, "dev")


def test_labels_beyond_their_photo_are_told_not_refused(layouts, tmp_path, capsys):
    folder = layouts.write_folder(tmp_path, 1, "file,a_x,a_y", ["0.jpg,64,-1"])
    photos = kfkd.load_photos("folder", folder)
    (note,) = photos.notes
    assert note == "2 of the labels lie outside their photo, the first at row 1 (0.jpg), a_x: 64.00"
    assert note in capsys.readouterr().err


def test_content_of_a_large_file_is_told_by_samples(layouts, tmp_path):
    a, b = (layouts.photo(tmp_path / f"{i}.bmp", 300, 200, seed=i) for i in range(2))
    copy = shutil.copy(a, tmp_path / "copy.bmp")
    first, second, third = photo_facts([a, b, copy]).digests.tolist()
    assert first == third != second


def test_facts_of_many_photos_are_kept_until_one_changes(layouts, tmp_path, monkeypatch):
    from kfkd.pipelines import photo_facts as module

    monkeypatch.setenv("KFKD_CACHE", str(tmp_path / "cache"))
    paths = [layouts.photo(tmp_path / f"{i}.png", 64 + i, seed=i) for i in range(3)]
    named, size, looked = [*paths, paths[0]], module.photo_size, []

    def counted(file):
        looked.append(file)
        return size(file)

    def facts():
        looked.clear()
        return photo_facts(named)

    monkeypatch.setattr(module, "photo_size", counted)
    few = facts()
    monkeypatch.setattr(module, "_MANY", 3)
    facts()
    assert len(looked) == 3, "such young files may change unnoticed"
    monkeypatch.setattr(module, "_YOUNG_NS", 0)
    for expected in (3, 0):
        many = facts()
        assert len(looked) == expected
        np.testing.assert_array_equal(many.sizes, few.sizes)
        np.testing.assert_array_equal(many.digests, few.digests)
    layouts.photo(paths[1], 99, seed=7)
    changed = facts()
    assert len(looked) == 3 and changed.sizes[:, 0].tolist() == [64, 99, 66, 64]
    assert (changed.digests == few.digests).tolist() == [True, False, True, True]
    paths[2].unlink()
    with pytest.raises(DataError, match=r"2.png"):
        facts()


def test_mirrored_skeletons_keep_their_parts():
    for skeleton in (IMM_58, IBUG_68):
        mirror = np.array(skeleton.mirror)
        assert (mirror[mirror] == np.arange(len(skeleton))).all()
        for points in skeleton.groups.values():
            assert set(mirror[list(points)]) == set(points)
        assert sorted(i for part in skeleton.groups.values() for i in part) == list(
            range(len(skeleton))
        )
        middle = [
            p for p, m in zip(skeleton.points, mirror, strict=True) if p == skeleton.points[m]
        ]
        assert not [name for name in middle if "left" in name or "right" in name]
        assert [skeleton.points[i] for i in skeleton.subset("nose")] == ["nose_tip"]
        a, b = (skeleton.points[i] for i in skeleton.normaliser)
        assert (a, b) == ("right_eye_outer_corner", "left_eye_outer_corner")


def test_skeleton_survives_its_record():
    odd = Skeleton("odd", ("a", "b", "c"), ((0, 2),), {"ends": (0, 2)}, {"one": (1,)}, (0, 2))
    for skeleton in (odd, KAGGLE_15, IBUG_68, own_skeleton(["x"])):
        assert skeleton_from(skeleton.as_dict()) == skeleton
    for wrong in (
        None,
        {},
        {**odd.as_dict(), "points": []},
        {**odd.as_dict(), "swaps": [[0, 3]]},
        {**odd.as_dict(), "subsets": {"none": []}},
        {**odd.as_dict(), "subsets": {"far": [-1]}},
        {**odd.as_dict(), "points": ["a", "a", "c"]},
    ):
        with pytest.raises(KfkdError):
            skeleton_from(wrong)


@pytest.mark.real
def test_real_imm(real_photos):
    photos = load("imm", real_photos("imm_face_db"))
    assert photos.keypoints.shape == (240, 58, 2) and photos.labelled.all()
    assert sorted(np.unique(photos.group, return_counts=True)[1].tolist()) == [6] * 40
    # Frontal faces stay what they are when they are mirrored: left and right are named as they are.
    front = photos.keypoints[::6].astype(np.float64)
    front -= front.mean(axis=1, keepdims=True)
    front /= np.sqrt(np.square(front).sum(axis=(1, 2), keepdims=True))
    mean = front.mean(axis=0)
    mirrored = mean[list(IMM_58.mirror)] * [-1, 1]
    eyes = np.linalg.norm(np.subtract(*mean[list(IMM_58.normaliser)]))
    assert np.linalg.norm(mean - mirrored, axis=1).max() < 0.15 * eyes
    assert mean[IMM_58.points.index("left_eye_outer_corner"), 0] > 0, "the person's left"


@pytest.mark.real
def test_real_ibug(real_photos):
    folder = real_photos("ibug_300W_large_face_landmark_dataset")
    train, test = load("ibug", folder), load("ibug", folder, "test")
    assert train.keypoints.shape == (882, 68, 2) and train.labelled.all()
    assert len(test) == 147 and not test.labelled.any()
    assert len(np.unique(train.group)) == 882 and not set(train.group) & set(test.group)
    mean = train.keypoints - train.keypoints.mean(axis=1, keepdims=True)
    right, left = mean.mean(axis=0)[list(IBUG_68.normaliser)]
    assert right[0] < 0 < left[0], "the person's right is on the left of the picture"


@pytest.mark.real
def test_real_youtube_faces(real_photos):
    folder = real_photos("youtube-faces/data")
    train, test = load("youtube_faces", folder), load("youtube_faces", folder, "test")
    assert (len(train), len(test)) == (2943, 654)
    assert train.labelled.all() and test.labelled.all()
    assert set(test.group) <= set(train.group), "every person of the test is in training, too"
