"""The look at the data: the numbers are right, the odd rows are found, the files are there."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from kfkd.duplicates import disagreement, duplicate_groups
from kfkd.errors import KfkdError
from kfkd.exploration.pictures import random_faces
from kfkd.exploring import FILES, explore
from kfkd.faces import FaceSet, image_groups
from kfkd.outliers import outliers
from kfkd.skeletons import KAGGLE_15, Skeleton
from kfkd.statistics import (
    brightness_contrast,
    column_statistics,
    convention_gap,
    mean_face_scores,
    pixel_statistics,
    row_statistics,
    skewness,
)

FACE = np.array(
    [
        *([66, 37], [30, 37], [59, 38], [73, 38], [37, 38], [22, 38]),
        *([56, 29], [79, 30], [39, 29], [16, 30]),
        *([48, 57], [63, 76], [33, 76], [48, 73], [48, 82]),
    ],
    np.float32,
)


def faces_of(n=40, full=20, seed=0, **changes):
    """Faces with small label noise, the first `full` with 15 points, the others with four."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 96, 96, 1), np.uint8)
    points = (FACE + rng.normal(0, 1.5, (n, 15, 2))).astype(np.float32)
    four = np.arange(n) >= full
    sparse = KAGGLE_15.subset("sparse")
    points[np.ix_(four, sparse)] = np.nan
    points[four, 10, 1] += 7
    parts = {
        "images": images,
        "keypoints": points,
        "skeleton": KAGGLE_15,
        "source": np.where(four, "four_point", "full"),
        "group": image_groups(images),
        "ids": np.arange(1, n + 1),
        "origin": "hand-made",
    }
    return FaceSet(**parts | changes)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 50])
def test_skewness_is_pandas(n):
    values = np.random.default_rng(n).gamma(2, 3, n)
    np.testing.assert_allclose(skewness(values), pd.Series(values).skew(), rtol=1e-9)


def test_skewness_of_equal_values_is_zero_and_missing_ones_are_left_out():
    assert skewness(np.full(9, 0.1)) == 0
    values = np.array([1.0, 2.0, 9.0])
    assert skewness(np.append(values, np.nan)) == skewness(values)


def test_column_statistics_are_pandas():
    faces = faces_of()
    frame = pd.DataFrame(faces.keypoints.reshape(40, 30).astype(float), columns=KAGGLE_15.columns)
    rows = {row["column"]: row for row in column_statistics(faces.keypoints, KAGGLE_15.columns)}
    for name in KAGGLE_15.columns:
        for key in ("count", "mean", "std", "min", "max", "skew"):
            assert rows[name][key] == pytest.approx(getattr(frame[name], key)(), rel=1e-6)
    assert rows["nose_tip_x"]["missing"] == 0
    assert rows["left_eye_inner_corner_y"]["missing"] == 20


def test_a_skewed_column_is_flagged():
    points = np.zeros((20, 1, 2))
    points[0, 0, 0] = 50
    skewed = [row["skewed"] for row in column_statistics(points, ("x", "y"))]
    assert skewed == [True, False]


def test_row_statistics_count_rows_sources_and_subsets():
    faces = faces_of()
    faces.keypoints[0, 0] = np.nan
    rows = row_statistics(faces)
    assert (rows["total"], rows["complete"], rows["unlabelled"]) == (40, 19, 0)
    assert rows["complete_on"] == {"dense": 39, "sparse": 20}
    assert rows["sources"]["four_point"] == {"rows": 20, "complete": 0}
    assert rows["labels_per_row"] == {8: 20, 28: 1, 30: 19}


def test_convention_gap_is_the_shift_between_the_sources():
    gap = {row["keypoint"]: row["difference"] for row in convention_gap(faces_of(400, 200))}
    assert list(gap) == [KAGGLE_15.points[i] for i in KAGGLE_15.subset("dense")]
    np.testing.assert_allclose(gap["nose_tip"], [0, 7], atol=0.6)
    np.testing.assert_allclose(gap["left_eye_center"], [0, 0], atol=0.6)
    assert convention_gap(faces_of(10, 10)) == []


def test_mean_face_scores_weigh_by_label_and_by_source():
    points = np.full((3, 15, 2), np.nan, np.float32)
    points[:, 0] = [[10, 20], [12, 22], [20, 30]]
    faces = faces_of(3, 2, keypoints=points)
    one, each = (mean_face_scores(faces)[kind] for kind in ("one_mean", "mean_per_source"))
    assert one["overall"] == pytest.approx(np.sqrt((16 + 4 + 36) / 3), rel=1e-6)
    assert each["sources"] == {"full": pytest.approx(1), "four_point": pytest.approx(0)}
    assert each["kaggle_rmse"] == pytest.approx(np.sqrt(0.649))
    assert np.isnan(one["subsets"]["sparse"])


def test_pixel_statistics_find_flat_images_and_labels_outside():
    faces = faces_of(6, 6)
    faces.images[2] = 17
    faces.keypoints[1, 3, 0], faces.keypoints[1, 4, 1] = 95.6, -0.6
    faces.keypoints[1, 5] = 95.4, -0.4
    pixels = pixel_statistics(faces)
    assert pixels["flat_images"] == 1
    assert (pixels["outside"], pixels["labels"]) == (2, 180)
    assert sum(pixels["grey_histogram"]) == faces.images.size


def test_brightness_and_contrast_over_several_chunks():
    images = np.random.default_rng(0).integers(0, 256, (1100, 4, 5, 3), np.uint8)
    bright, contrast = brightness_contrast(images)
    np.testing.assert_allclose(bright, images.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(contrast, images.std(axis=(1, 2, 3)))


def with_duplicates():
    faces = faces_of()
    faces.images[5] = faces.images[3]
    faces.images[30] = faces.images[31] = faces.images[10]
    faces.keypoints[5] = faces.keypoints[3] + np.float32(1)
    faces.keypoints[[10, 30, 31], :] = np.nan
    faces.keypoints[[10, 30, 31], 0] = [[60, 40], [60, 44], [68, 40]]
    return FaceSet(**{**vars(faces), "group": image_groups(faces.images)})


def test_identical_images_are_found_the_most_disagreeing_first():
    groups = duplicate_groups(with_duplicates())
    assert [group.rows for group in groups] == [(10, 30, 31), (3, 5)]
    assert [group.disagreement for group in groups] == [8, 1]
    assert groups[0].pair in ((10, 31), (30, 31))


def test_disagreement_is_measured_within_and_across_sources():
    faces = with_duplicates()
    found = disagreement(faces, duplicate_groups(faces))
    assert (found["groups"], found["rows"], found["split_apart"]) == (2, 5, 0)
    assert (found["all"]["pairs"], found["all"]["coordinates"]) == (4, 36)
    across, same = found["across_sources"], found["same_source"]
    assert (across["pairs"], across["rms"], across["max"]) == (2, pytest.approx(np.sqrt(20)), 8)
    assert same["rms"] == pytest.approx(np.sqrt((30 + 64 + 16) / 32), rel=1e-6)
    assert same["median"] == pytest.approx(1, rel=1e-5)
    assert found["keypoints"]["nose_tip"]["pairs"] == 1


def test_identical_images_that_a_split_could_part_are_counted():
    faces = FaceSet(**{**vars(with_duplicates()), "group": np.arange(40, dtype=np.uint64)})
    assert disagreement(faces, duplicate_groups(faces))["split_apart"] == 2


def test_persons_of_a_group_are_no_duplicates():
    assert duplicate_groups(faces_of(8, group=np.zeros(8, np.uint64))) == []


def test_a_thousand_blank_images_are_one_group_at_once():
    faces = faces_of(1000, 1000, images=np.zeros((1000, 8, 8, 1), np.uint8))
    groups = duplicate_groups(faces)
    assert len(groups) == 1
    assert disagreement(faces, groups)["all"]["pairs"] == 999


def test_a_mislabelled_row_is_the_first_outlier():
    faces = faces_of(200, 100)
    faces.keypoints[7] += np.float32([-40, 15])
    found = outliers(faces)
    assert found[0]["rank"] == 1
    assert (found[0]["row"], found[0]["position"]) == (8, 7)
    assert "too far left" in found[0]["reason"]
    assert {finding["row"] for finding in found} == {8}


def test_the_other_sources_convention_is_no_outlier():
    assert outliers(faces_of(200, 190)) == []


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda p: p[[1, 0]], "eyes swapped"),
        (lambda p: np.stack([p[0], p[0] - [4, 0]]), "eye distance too small"),
        (lambda p: p + np.float32([[12, 0], [-12, 0]]), "eye distance too large"),
        (lambda p: p + np.float32([0, 50]), "mouth above the eyes"),
    ],
)
def test_impossible_geometry_is_named(change, reason):
    faces = faces_of(200, 100)
    faces.keypoints[150, :2] = change(faces.keypoints[150, :2])
    found = outliers(faces)
    assert {finding["row"] for finding in found} == {151}
    assert reason in [finding["reason"] for finding in found]


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def check_files(found):
    names = sorted(path.name for path in found.out.iterdir())
    assert names == found.summary["files"]
    for name in names:
        path = found.out / name
        if path.suffix == ".png":
            from matplotlib.image import imread

            assert imread(path)[..., :3].std() > 0.02
    assert json.loads((found.out / "summary.json").read_text()) == found.summary
    page = (found.out / "summary.md").read_text()
    assert all(f"({name})" in page for name in names if name.endswith(".png"))
    return set(names)


def test_explore_writes_everything_it_found(tmp_path):
    faces = with_duplicates()
    faces.keypoints[15] += np.float32(-35)
    found = explore(faces, tmp_path / "out", quiet=True)
    assert check_files(found) == set(FILES)
    columns = read_csv(tmp_path / "out" / "columns.csv")
    assert [row["column"] for row in columns] == list(KAGGLE_15.columns)
    twice = read_csv(tmp_path / "out" / "duplicates.csv")
    assert [row["rows"] for row in twice] == ["11 31 32", "4 6"]
    assert twice[0]["sources"] == "full four_point four_point"
    assert float(twice[0]["max_disagreement_px"]) == 8
    assert read_csv(tmp_path / "out" / "outliers.csv")[0]["row"] == "16"
    table = found.table()
    assert "nose_tip_y" in table and "2 images occur more than once" in table
    assert max(map(len, table.splitlines())) <= 140


def test_a_rerun_gives_the_same_and_takes_away_what_no_longer_applies(tmp_path):
    odd = with_duplicates()
    odd.keypoints[15] += np.float32(-35)
    explore(odd, tmp_path, quiet=True)
    (tmp_path / "mine.txt").write_text("mine")
    first = explore(faces_of(4), tmp_path, quiet=True)
    assert not (tmp_path / "duplicates.png").exists()
    assert (tmp_path / "mine.txt").read_text() == "mine"
    picture = (tmp_path / "faces.png").read_bytes()
    assert explore(faces_of(4), tmp_path, quiet=True).summary == first.summary
    assert (tmp_path / "faces.png").read_bytes() == picture


@pytest.mark.parametrize(
    "faces",
    [
        faces_of(1, 1),
        faces_of(2, 1),
        faces_of(5, 5, source=np.full(5, "")),
        faces_of(5, 5, keypoints=np.full((5, 15, 2), np.nan, np.float32)),
        faces_of(5, 5, images=np.full((5, 40, 60, 3), 99, np.uint8), origin="own"),
    ],
    ids=["one face", "one a source", "no source", "no labels", "blank photographs"],
)
def test_poor_sets_are_explored_all_the_same(faces, tmp_path):
    found = explore(faces, tmp_path, quiet=True)
    assert {"missing.png", "positions.png", "faces.png", "summary.md"} <= check_files(found)
    assert "Rows" in found.table()


def test_other_skeletons_have_no_kaggle_names(tmp_path):
    skeleton = Skeleton("THREE", ("chin", "brow", "ear"))
    points = np.random.default_rng(0).uniform(0, 90, (6, 3, 2)).astype(np.float32)
    found = explore(faces_of(6, 6, skeleton=skeleton, keypoints=points), tmp_path, quiet=True)
    assert found.summary["mean_face"]["one_mean"]["subsets"] == {}
    assert "chin_x" in found.table()


def test_built_in_faces_and_bare_images_are_explored_as_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("kfkd.exploration.pictures.exploration_pictures", few_pictures)
    monkeypatch.setattr("kfkd.pipelines.sources.SYNTHETIC_TRAIN", 12)
    found = explore("synthetic", tmp_path / "made", quiet=True)
    assert (found.summary["data"]["origin"], found.summary["rows"]["total"]) == ("synthetic", 12)
    found = explore(faces_of(4).images, tmp_path / "bare", quiet=True)
    assert found.summary["rows"]["complete"] == 0


def test_an_empty_set_is_an_error(tmp_path):
    with pytest.raises(KfkdError, match="Received: 0"):
        explore(faces_of(3)[[]], tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def few_pictures(faces, *_):
    return {"faces.png": lambda: random_faces(faces)}


def test_progress_is_told_on_standard_error_only_when_it_takes_long(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kfkd.exploration.pictures.exploration_pictures", few_pictures)
    for patience, quiet, told in ((1e9, False, False), (-1, False, True), (-1, True, False)):
        monkeypatch.setattr("kfkd.exploring._PATIENCE", patience)
        explore(faces_of(4), tmp_path, quiet)
        streams = capsys.readouterr()
        assert streams.out == ""
        assert ("explore: drawing faces.png" in streams.err) == told


@pytest.mark.real
def test_kaggles_set_shows_its_known_oddities(kaggle_folder, tmp_path):
    found = explore(kaggle_folder, tmp_path, quiet=True)
    check_files(found)
    columns = {row["column"]: row for row in found.summary["columns"]}
    # The study's table of all 7,049 rows; a part of them is close to it.
    assert columns["nose_tip_y"]["mean"] == pytest.approx(62.716, abs=0.2)
    assert columns["left_eye_center_x"]["std"] == pytest.approx(3.448, abs=0.2)
    assert columns["left_eye_center_x"]["skewed"]
    assert found.summary["duplicates"]["groups"] > 300
    assert found.summary["duplicates"]["all"]["median"] < 1
    gap = {row["keypoint"]: row["difference"][1] for row in found.summary["conventions"]}
    assert 6 < gap["nose_tip"] < 9
    assert -6 < gap["mouth_center_bottom_lip"] < -3.5
    assert found.summary["mean_face"]["one_mean"]["kaggle_rmse"] == pytest.approx(3.874, abs=0.1)
