from __future__ import annotations

import doctest
import json
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfkd.errors import DataError, KfkdError
from kfkd.pipelines.kaggle import IdTable, read_id_table
from kfkd.skeletons import KAGGLE_15
from kfkd.submissions import reading, writer
from kfkd.submissions.reading import read_submission
from kfkd.submissions.writer import (
    check_submission,
    submission_path,
    submission_values,
    write_submission,
)

NOSE_X = KAGGLE_15.columns.index("nose_tip_x")


def table_of(*rows, file="ids.csv"):
    """An id table of (row id, image id, column index)."""
    return IdTable(*np.array(rows, np.int64).reshape(-1, 3).T, file)


@st.composite
def asked(draw):
    """A table in any order, and finite values for its rows."""
    row_ids = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=30, unique=True))
    values = draw(
        st.lists(st.floats(-1e4, 1e4), min_size=len(row_ids), max_size=len(row_ids)), label="values"
    )
    return table_of(*((row_id, 1, 0) for row_id in row_ids)), np.array(values)


def test_each_row_gets_its_coordinate():
    predictions = np.arange(3 * 30, dtype=np.float64).reshape(3, 15, 2)
    ids = np.array([9, 2, 5])
    table = table_of((3, 5, 0), (1, 9, NOSE_X), (2, 2, 29), (4, 9, 1))
    assert submission_values(predictions, ids, table).tolist() == [60, NOSE_X, 59, 1]


@given(seed=st.integers(0, 10**6))
def test_values_agree_with_the_plain_look_up(seed):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(50)[:8]
    predictions = rng.uniform(-20, 120, (8, 15, 2))
    rows = [(i + 1, rng.choice(ids), rng.integers(30)) for i in range(20)]
    plain = [predictions[list(ids).index(image), c // 2, c % 2] for _, image, c in rows]
    values = submission_values(predictions, ids, table_of(*rows))
    np.testing.assert_array_equal(values, plain)
    clipped = submission_values(predictions, ids, table_of(*rows), clip=True)
    np.testing.assert_array_equal(clipped, np.clip(plain, 0, 96))


def test_clipping_takes_the_size():
    predictions = np.full((1, 15, 2), 300.0)
    table = table_of((1, 1, 0))
    assert submission_values(predictions, np.array([1]), table, clip=True, size=224) == 224


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("clip", [False, True])
def test_a_value_that_is_not_finite_is_named(value, clip):
    predictions = np.ones((2, 15, 2))
    predictions[1, 10, 0] = value
    table = table_of((7, 1, NOSE_X), (8, 2, NOSE_X))
    with pytest.raises(KfkdError, match=r"RowId 8 asks for nose_tip_x of image 2.*(nan|inf)"):
        submission_values(predictions, np.array([1, 2]), table, clip=clip)


def test_a_missing_image_is_named():
    with pytest.raises(KfkdError, match=r"RowId 8 asks for nose_tip_x of image 3.*no prediction"):
        submission_values(np.ones((1, 15, 2)), np.array([1]), table_of((8, 3, NOSE_X)))


def test_no_predictions_at_all():
    with pytest.raises(KfkdError, match="image 3"):
        submission_values(np.ones((0, 15, 2)), np.array([], int), table_of((8, 3, 0)))


def test_keypoints_that_nobody_asks_for_may_be_missing():
    predictions = np.full((1, 15, 2), np.nan)
    predictions[0, 10] = 4, 5
    assert submission_values(predictions, np.array([1]), table_of((1, 1, NOSE_X))) == 4


def test_shapes_and_repeated_images_are_refused():
    with pytest.raises(KfkdError, match=r"\(2, 15, 2\).*\(1, 15, 2\)"):
        submission_values(np.ones((1, 15, 2)), np.array([1, 2]), table_of((1, 1, 0)))
    with pytest.raises(KfkdError, match="image 4 is predicted twice"):
        submission_values(np.ones((2, 15, 2)), np.array([4, 4]), table_of((1, 4, 0)))


@settings(max_examples=50)
@given(case=asked())
def test_what_is_written_is_read_back(case):
    table, values = case
    with tempfile.TemporaryDirectory() as folder:
        path = write_submission(Path(folder) / "new" / "mine.csv", table, values)
        row_id, location = read_submission(path)
    assert (np.diff(row_id) > 0).all()
    order = np.argsort(table.row_id)
    np.testing.assert_array_equal(row_id, table.row_id[order])
    np.testing.assert_allclose(location, values[order], rtol=0, atol=1e-6)


def test_the_file_and_its_origin(tmp_path):
    table = table_of((2, 1, 1), (1, 1, 0))
    path = write_submission(tmp_path / "mine.csv", table, [20.125, 1 / 3], {"run": "runs/a"})
    assert path.read_bytes() == b"RowId,Location\n1,0.333333\n2,20.125000\n"
    assert json.loads((tmp_path / "mine.json").read_text()) == {"run": "runs/a"}
    write_submission(path, table, [1, 2])
    assert json.loads((tmp_path / "mine.json").read_text()) == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.csv", "mine.json"]


TABLE = table_of((1, 1, 0), (2, 1, 1))


@pytest.mark.parametrize(
    ("table", "values", "made", "message"),
    [
        (TABLE, [1, np.nan], {}, "RowId 2 asks for left_eye_center_y of image 1"),
        (TABLE, [np.inf, 1], {}, "RowId 1 asks"),
        (TABLE, [1, 2, 3], {}, r"shape \(2,\). Received: \(3,\)"),
        (table_of((1, 1, 0), (1, 1, 1)), [1, 2], {}, "row 2, column RowId: 1 is there twice"),
        (TABLE, [1, 2], {"rmse": float("nan")}, "JSON"),
    ],
)
def test_nothing_is_left_of_a_submission_that_fails(tmp_path, table, values, made, message):
    with pytest.raises(ValueError, match=message):
        write_submission(tmp_path / "mine.csv", table, values, made)
    assert list(tmp_path.iterdir()) == []


def test_an_older_submission_survives_a_failure(tmp_path):
    path = write_submission(tmp_path / "mine.csv", TABLE, [1, 2], {"a": 1})
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    with pytest.raises(KfkdError):
        write_submission(path, TABLE, [np.nan, 2], {"a": 2})
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_only_csv_is_written(tmp_path):
    with pytest.raises(KfkdError, match=r"end in \.csv"):
        write_submission(tmp_path / "mine.json", TABLE, [1, 2])


BROKEN = {
    "header": ("Id,Location\n1,1\n2,2\n", "column RowId: wants this column once"),
    "order of columns": ("Location,RowId\n1,1\n2,2\n", "header RowId,Location"),
    "more columns": ("RowId,Location,x\n1,1,0\n2,2,0\n", "header RowId,Location"),
    "empty": ("", "column RowId: .*Received: an empty file"),
    "no rows": ("RowId,Location\n", "lacks 2 of the 2 RowIds asked for, first 1"),
    "lacks one": ("RowId,Location\n1,1\n", "lacks 1 of the 2 RowIds asked for, first 2"),
    "extra": ("RowId,Location\n1,1\n2,2\n3,3\n", "row 3, column RowId: RowId 3 is not asked"),
    "twice": ("RowId,Location\n1,1\n1,1\n2,2\n", "row 2, column RowId: 1 is there twice"),
    "falls": ("RowId,Location\n2,1\n1,1\n", "row 2, column RowId: RowIds want to ascend"),
    "no id": ("RowId,Location\n1,1\n2.5,1\n", "row 2, column RowId: wants a whole number"),
    "no number": ("RowId,Location\n1,1\n2,left\n", "row 2, column Location: .*'left'"),
    "underscore": ("RowId,Location\n1,1_0\n2,1\n", "row 1, column Location: .*'1_0'"),
    "blank": ("RowId,Location\n1,\n2,1\n", "row 1, column Location: .*''"),
    "infinite": ("RowId,Location\n1,1\n2,-inf\n", "row 2, column Location: .*'-inf'"),
    "fields": ("RowId,Location\n1,1\n2\n", "row 2: wants 2 fields. Received: 1"),
    "bytes": (b"\xff\xfe\x00R", "is not a CSV"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_submission_is_refused_with_its_place(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"mine.csv.*{message}"):
        check_submission(path, TABLE)


def test_files_that_are_not_there_and_zips(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            check_submission(path, TABLE)
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mine.csv", "\ufeffRowId,Location\r\n1,1\r\n2,2\r\n\r\n")
        archive.writestr("__MACOSX/._mine.csv", "x")
    check_submission(path, TABLE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.csv", "")
    with pytest.raises(DataError, match=r"one CSV in the zip. Received: 2"):
        check_submission(path, TABLE)


@settings(max_examples=60)
@given(cut=st.integers(1, 400), flip=st.integers(0, 400))
def test_a_damaged_zip_is_a_data_error_or_still_right(cut, flip):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mine.csv", "RowId,Location\n1,1\n2,2\n")
        content = bytearray(path.read_bytes())
        content[flip % len(content)] ^= 0x55
        path.write_bytes(content[: len(content) - 1 - cut % (len(content) - 1)])
        with pytest.raises(DataError):
            check_submission(path, TABLE)
        path.write_bytes(content)
        try:
            check_submission(path, TABLE)
        except DataError as error:
            assert "mine.zip" in str(error)


def test_a_new_name_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_now", lambda: datetime(2025, 1, 31, 17, 45, 2))
    names = []
    for _ in range(3):
        path = submission_path("big.one", tmp_path)
        write_submission(path, TABLE, [1, 2])
        names.append(path.name)
    stem = "big.one-20250131-174502"
    assert names == [f"{stem}.csv", f"{stem}-2.csv", f"{stem}-3.csv"]
    assert submission_path("a") == Path("submissions") / "a-20250131-174502.csv"


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "a\n"])
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(KfkdError, match="Received"):
        submission_path(name)


@pytest.mark.real
def test_kaggles_own_table(kaggle_folder, tmp_path):
    table = read_id_table(kaggle_folder)
    ids = np.unique(table.image_id)
    predictions = np.random.default_rng(0).uniform(0, 96, (len(ids), 15, 2))
    values = submission_values(predictions, ids, table)
    path = write_submission(tmp_path / "all.csv", table, values)
    row_id, location = read_submission(path)
    sample, _ = read_submission(kaggle_folder / "SampleSubmission.csv")
    np.testing.assert_array_equal(row_id, sample)
    np.testing.assert_allclose(location, values[np.argsort(table.row_id)], rtol=0, atol=1e-6)


def test_the_examples_run():
    assert doctest.testmod(writer).failed == doctest.testmod(reading).failed == 0
