from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfkd import load_faces
from kfkd.errors import DataError
from kfkd.pipelines.bench_load import bench_load
from kfkd.pipelines.csv_pixels import fast_pixels, slow_pixels
from kfkd.pipelines.kaggle import read_id_table
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.skeletons import KAGGLE_15

HEADER = [*KAGGLE_15.columns, "Image"]
NOSE_X = HEADER.index("nose_tip_x")


def some_rows(n=3, seed=0):
    """n rows as fields: 30 coordinates and the pixels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 9216), dtype=np.uint8)
    labels = rng.uniform(0, 95, (n, 30)).round(3)
    rows = [
        [*map(str, each), " ".join(map(str, image))]
        for each, image in zip(labels, images, strict=True)
    ]
    return rows, labels.astype(np.float32), images.reshape(n, 96, 96, 1)


def written(path, rows, header=HEADER):
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    return path


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def load(path, part="train"):
    return load_faces(path=path, part=part, cache=False, quiet=True)


def pixels(count=9216, **changed):
    words = ["7"] * count
    for place, word in changed.items():
        words[int(place[1:]) - 1] = word
    return " ".join(words)


# ---------------------------------------------------------------- good files


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 3),
    seed=st.integers(0, 99),
    missing=st.lists(st.integers(0, 29), max_size=30),
    order=st.permutations(range(31)),
    quote=st.sampled_from(["", "image", "all"]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    bom=st.booleans(),
    wrapping=st.sampled_from(["csv", "zip", "single", "single in folder", "subfolder", "direct"]),
)
def test_reads_back_what_was_written(n, seed, missing, order, quote, end, last, bom, wrapping):
    rows, labels, images = some_rows(n, seed)
    for column in missing:
        rows[0][column], labels[0, column] = "", np.nan

    def field(column, text):
        return f'"{text}"' if quote == "all" or (quote and column == 30) else text

    lines = [",".join(field(i, row[i]) for i in order) for row in [HEADER, *rows]]
    content = (end.join(lines) + end * last).encode("utf-8-sig" if bom else "utf-8")
    inner = zipped({"training.csv": content})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        single = folder / "facial-keypoints-detection.zip"
        path = folder
        match wrapping:
            case "csv":
                (folder / "training.csv").write_bytes(content)
            case "direct":
                path = folder / "my own name.csv"
                path.write_bytes(content)
            case "zip":
                (folder / "training.zip").write_bytes(inner)
            case "subfolder":
                path = folder / "training.zip"
                path.write_bytes(zipped({"__MACOSX/training.csv": b"", "a/training.csv": content}))
            case _:
                single.write_bytes(zipped({"test.zip": b"", "training.zip": inner}))
                path = single if wrapping == "single" else folder
        faces = load(path)
    assert np.array_equal(faces.images, images)
    assert np.array_equal(faces.keypoints.reshape(n, 30), labels, equal_nan=True)
    assert faces.ids.tolist() == list(range(1, n + 1))
    assert faces.origin == "kaggle"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_fast_way_never_disagrees_with_slow_way(data):
    """Wherever a row is spoilt, the fast way steps back or returns what the slow way returns."""
    words = [str(i % 256).encode() for i in range(9216)]
    odd = [b"", b"-1", b"256", b"299", b"300", b"999", b"1000", b"007", b"0007", b"1e2", b"12.5"]
    odd += [b"0", b"00", b"255", b"0255", b"0256", b"4294967297", b"x", b"1 2", b"\t9", b" ", b"\0"]
    for _ in range(data.draw(st.integers(0, 3))):
        words[data.draw(st.integers(0, 9215))] = data.draw(st.sampled_from(odd))
    text = data.draw(st.sampled_from([b"", b" "])) + b" ".join(words)
    fast = fast_pixels(text)
    try:
        slow = slow_pixels(text, "a.csv", 1)
    except DataError:
        assert fast is None
    else:
        assert fast is None or np.array_equal(fast, slow)


def test_every_grey_value_is_read_in_every_place():
    for shift in range(256):
        wanted = (np.arange(9216) + shift) % 256
        assert np.array_equal(fast_pixels(" ".join(map(str, wanted)).encode()), wanted)


def test_blank_lines_and_loose_spacing_are_read(tmp_path):
    rows, _, images = some_rows(2)
    rows[1][-1] = " " + rows[1][-1].replace(" ", "  ") + " "
    text = "\n".join(",".join(row) for row in [HEADER, rows[0], [""], rows[1], [""]])
    (tmp_path / "training.csv").write_text(text)
    assert np.array_equal(load(tmp_path).images, images)


def test_rows_longer_than_a_block_of_the_reader_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr("kfkd.pipelines.csv_fields._BLOCK", 40_000)
    rows, _, images = some_rows(5)
    assert np.array_equal(load(written(tmp_path / "training.csv", rows)).images, images)


def test_source_is_judged_by_the_labels_and_unlabelled_rows_stay(tmp_path):
    rows, _, _ = some_rows(3)
    dense = {2 * point + axis for point in KAGGLE_15.subset("dense") for axis in (0, 1)}
    rows[1][:30] = [text if i in dense else "" for i, text in enumerate(rows[1][:30])]
    rows[2][:30] = [""] * 30
    faces = load(written(tmp_path / "training.csv", rows))
    assert faces.source.tolist() == ["full", "four_point", "four_point"]
    assert faces.labelled.sum(axis=(1, 2)).tolist() == [30, 8, 0]


def test_equal_images_share_a_group(tmp_path):
    rows, _, _ = some_rows(3)
    rows[2][-1] = rows[0][-1]
    group = load(written(tmp_path / "training.csv", rows)).group
    assert group[0] == group[2] != group[1]


def test_labels_outside_the_image_are_kept_counted_and_told_once(tmp_path, capsys):
    rows, _, _ = some_rows(3)
    rows[1][NOSE_X], rows[2][0] = "95.5", "-3"
    path = written(tmp_path / "training.csv", rows)
    faces = load_faces(path=path, cache=False)
    assert faces.keypoints[1, 10, 0] == np.float32(95.5)
    (note,) = faces.notes
    assert note.startswith("2 of the labels") and "row 2, column nose_tip_x: 95.50" in note
    assert capsys.readouterr().err.splitlines() == [f"{path}: {note}"]


# ---------------------------------------------------------------- bad rows


BAD_PIXELS = {
    "9215": (pixels(9215), "9,215 pixels, wanted 9,216"),
    "9217": (pixels(9217), "9,217 pixels, wanted 9,216"),
    "empty": ("", "0 pixels, wanted 9,216"),
    "blank": (" ", "0 pixels, wanted 9,216"),
    "letters": (pixels(p5="x"), "pixel 5 is 'x', wanted a whole number from 0 to 255"),
    "hidden letters": (pixels(p9216="7x"), "pixel 9216 is '7x'"),
    "negative": (pixels(p3="-1"), "pixel 3 is '-1'"),
    "256": (pixels(p1="256"), "pixel 1 is '256'"),
    "300": (pixels(p1="300"), "pixel 1 is '300'"),
    "1000": (pixels(p1="1000"), "pixel 1 is '1000'"),
    "overflow": (pixels(p9="4294967297"), "pixel 9 is '4294967297'"),
    "endless digits": (pixels(p9="9" * 6000), "pixel 9 is '9999"),
    "fraction": (pixels(p2="12.5"), "pixel 2 is '12.5'"),
    "plus": (pixels(p2="+5"), "pixel 2 is"),
    "nan": (pixels(p2="nan"), "pixel 2 is 'nan'"),
    "nul": (pixels(p2="\0"), "pixel 2 is"),
    "not latin": (pixels(p2="٣"), "pixel 2 is '٣'"),
    "far too long": (pixels(200_000), "200,000 pixels, wanted 9,216"),
}


@pytest.mark.parametrize(("field", "message"), BAD_PIXELS.values(), ids=BAD_PIXELS)
@pytest.mark.parametrize("quoted", [False, True])
def test_bad_pixels_are_refused_by_file_row_and_column(tmp_path, field, message, quoted):
    rows, _, _ = some_rows(3)
    rows[1][-1] = f'"{field}"' if quoted else field
    path = written(tmp_path / "training.csv", rows)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}, row 2, column Image: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_endless_row_is_refused_before_it_fills_the_memory(tmp_path):
    rows, _, _ = some_rows(3)
    rows[1][-1] = pixels(4_000_000)
    path = written(tmp_path / "training.csv", rows)
    with pytest.raises(DataError, match=r"row 2, column Image: .* pixels, wanted 9,216"):
        load(path)


@pytest.mark.parametrize(
    "text", ["x", "1,5", "inf", "-Infinity", "1e999", "1e39", "1_0", "٣", "\0"]
)
def test_bad_labels_are_refused_by_file_row_and_column(tmp_path, text):
    rows, _, _ = some_rows(3)
    rows[2][NOSE_X] = text
    path = written(tmp_path / "training.csv", rows)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}, row 3, column ")
    if "," in text:  # a decimal comma makes one field more
        assert "received 32 fields, wanted 31" in str(caught.value)
    else:
        assert "column nose_tip_x: received" in str(caught.value)
        assert "wanted a finite number" in str(caught.value)


@pytest.mark.parametrize("text", ["", " ", "nan", "NaN", "NA"])
def test_absent_labels_may_be_written_in_several_ways(tmp_path, text):
    rows, _, _ = some_rows(1)
    rows[0][NOSE_X] = text
    assert np.isnan(load(written(tmp_path / "training.csv", rows)).keypoints[0, 10, 0])


def test_a_row_that_ends_too_early_names_the_first_column_it_lacks(tmp_path):
    rows, _, _ = some_rows(3)
    rows[2] = rows[2][:5]
    path = written(tmp_path / "training.csv", rows)
    with pytest.raises(DataError, match=f"row 3, column {HEADER[5]}: received 5 fields, wanted 31"):
        load(path)


# ---------------------------------------------------------------- bad headers and files


@pytest.mark.parametrize(
    ("header", "column", "message"),
    [
        (HEADER[1:], HEADER[0], "the header lacks left_eye_center_x"),
        (HEADER[:-1], "Image", "the header lacks Image"),
        ([*HEADER, "Usage"], "Usage", "the column is not known"),
        ([*HEADER, "Image"], "Image", "the column is there twice"),
        ([name.upper() for name in HEADER], HEADER[0], "the header lacks"),
        (["\0\1", "\x89PNG"], HEADER[0], "the header lacks"),
    ],
    ids=["one less", "no image", "one more", "twice", "capitals", "binary"],
)
def test_wrong_headers_are_refused(tmp_path, header, column, message):
    path = written(tmp_path / "training.csv", some_rows()[0], header)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}, column {column}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n\n", "is empty"),
        (",".join(HEADER).encode(), "a header without rows"),
        (",".join(HEADER).encode() + b"\r\n", "a header without rows"),
        (",".join(HEADER).encode("utf-16"), "the header lacks"),
        (bytes(range(256)) * 9000, "the header lacks"),
    ],
    ids=["empty", "mark only", "blank", "header only", "header only, ended", "utf-16", "noise"],
)
def test_files_without_rows_are_refused(tmp_path, content, message):
    path = tmp_path / "training.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def good_zip():
    rows, _, _ = some_rows()
    return zipped({"training.csv": "\n".join(",".join(row) for row in [HEADER, *rows])})


def spoilt(content, at):
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip at all",
        good_zip()[:-300],
        good_zip()[: len(good_zip()) // 2],
        spoilt(good_zip(), len(good_zip()) // 2),
        spoilt(good_zip(), 2),
    ],
    ids=["empty", "text", "cut", "half", "spoilt data", "spoilt head"],
)
@pytest.mark.parametrize("nested", [False, True])
def test_damaged_zips_are_refused(tmp_path, content, nested):
    name = "facial-keypoints-detection.zip" if nested else "training.zip"
    (tmp_path / name).write_bytes(zipped({"training.zip": content}) if nested else content)
    with pytest.raises(DataError, match="damaged") as caught:
        load(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


@given(st.integers(0, len(good_zip()) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_zip_with_any_byte_changed_is_read_rightly_or_refused(at, change):
    content = good_zip()
    content = content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "training.zip")
        path.write_bytes(content)
        try:
            assert np.array_equal(load(path).images, some_rows()[2])
        except DataError as error:
            assert "training.zip" in str(error)


def test_zip_without_the_member_is_refused(tmp_path):
    (tmp_path / "training.zip").write_bytes(zipped({"other.csv": "a"}))
    with pytest.raises(DataError, match=r"training\.csv") as caught:
        load(tmp_path)
    assert "training.zip" in str(caught.value)
    with pytest.raises(DataError, match=r"holds no test\.csv, wanted test\.csv, test\.zip"):
        load(tmp_path / "training.zip", "test")


def test_errors_inside_zips_name_the_way(tmp_path):
    rows, _, _ = some_rows(2)
    rows[0][-1] = pixels(9215)
    inner = zipped({"training.csv": "\n".join(",".join(row) for row in [HEADER, *rows])})
    path = tmp_path / "facial-keypoints-detection.zip"
    path.write_bytes(zipped({"training.zip": inner}))
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}/training.zip/training.csv, row 1, column Image: ")


def test_encrypted_zips_are_refused(tmp_path):
    content = bytearray(good_zip())
    content[6] |= 1  # the flag in the local header …
    content[content.rindex(b"PK\1\2") + 8] |= 1  # … and in the directory
    (tmp_path / "training.zip").write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        load(tmp_path)


# ---------------------------------------------------------------- the test set and the id table


def picture_rows(ids):
    return [[str(i), pixels(p1=str(k))] for k, i in enumerate(ids)]


def id_rows(asked):
    return [[str(i), str(image), name, ""] for i, (image, name) in enumerate(asked, start=1)]


ID_HEADER = ["RowId", "ImageId", "FeatureName", "Location"]


def test_test_set_takes_ids_from_the_file_and_source_from_the_id_table(tmp_path):
    written(tmp_path / "test.csv", picture_rows([5, 3, 9, 8]), ["ImageId", "Image"])
    dense = [KAGGLE_15.columns[2 * p + axis] for p in KAGGLE_15.subset("dense") for axis in (0, 1)]
    asked = [(5, name) for name in dense] + [(3, "left_eye_outer_corner_x")]
    asked += [(9, name) for name in [*dense, dense[0]]]
    written(tmp_path / "IdLookupTable.csv", id_rows(asked), ID_HEADER)
    faces = load(tmp_path, "test")
    assert faces.ids.tolist() == [5, 3, 9, 8]
    assert np.isnan(faces.keypoints).all() and faces.keypoints.shape == (4, 15, 2)
    assert faces.source.tolist() == ["four_point", "full", "full", "four_point"]
    assert faces.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert load(tmp_path / "test.csv", "test").source.tolist() == faces.source.tolist()
    (tmp_path / "IdLookupTable.csv").unlink()
    assert set(load(tmp_path, "test").source) == {"full"}


def test_everything_is_found_in_the_single_zip(tmp_path):
    test_csv = written(tmp_path / "a", picture_rows([1, 2]), ["ImageId", "Image"]).read_bytes()
    ids = written(
        tmp_path / "b", id_rows([(1, "nose_tip_x"), (2, "mouth_left_corner_y")]), ID_HEADER
    )
    path = tmp_path / "facial-keypoints-detection.zip"
    members = {"test.zip": zipped({"test.csv": test_csv}), "training.zip": good_zip()}
    path.write_bytes(zipped({**members, "IdLookupTable.csv": ids.read_bytes()}))
    assert len(load(path)) == 3
    assert load(path, "test").source.tolist() == ["four_point", "full"]
    for place in (path, tmp_path):
        table = read_id_table(place)
        assert [table.row_id.tolist(), table.image_id.tolist()] == [[1, 2], [1, 2]]
        assert [KAGGLE_15.columns[i] for i in table.column] == ["nose_tip_x", "mouth_left_corner_y"]
        assert table.file == f"{path}/IdLookupTable.csv"


@pytest.mark.parametrize(
    ("image_id", "message"),
    [
        ("5", "5 is there twice"),
        ("1.5", "received '1.5', wanted a whole number"),
        ("", "received '', wanted a whole number"),
        ("-1", "received '-1', wanted a whole number"),
        ("9" * 30, "wanted a whole number"),
    ],
)
def test_bad_image_ids_are_refused(tmp_path, image_id, message):
    path = written(tmp_path / "test.csv", picture_rows([5, image_id]), ["ImageId", "Image"])
    with pytest.raises(DataError) as caught:
        load(path, "test")
    assert str(caught.value).startswith(f"{path}, row 2, column ImageId: ")
    assert message in str(caught.value)


def test_test_set_without_image_id_is_refused(tmp_path):
    path = written(tmp_path / "test.csv", [[pixels()]], ["Image"])
    with pytest.raises(DataError, match="column ImageId: the header lacks ImageId"):
        load(path, "test")


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (["2", "1", "left_ear_x", ""], "FeatureName", "received 'left_ear_x', wanted one of"),
        (["1", "1", "nose_tip_y", ""], "RowId", "1 is there twice"),
        (["x", "1", "nose_tip_y", ""], "RowId", "received 'x', wanted a whole number"),
        (["2", "1.0", "nose_tip_y", ""], "ImageId", "received '1.0', wanted a whole number"),
        (["2", "1"], "FeatureName", "received '', wanted one of"),
        (["2"], "ImageId", "received '', wanted a whole number"),
    ],
)
def test_bad_id_rows_are_refused(tmp_path, row, column, message):
    rows = [["1", "1", "nose_tip_x", ""], row]
    path = written(tmp_path / "IdLookupTable.csv", rows, ID_HEADER)
    with pytest.raises(DataError) as caught:
        read_id_table(path)
    assert str(caught.value).startswith(f"{path}, row 2, column {column}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ID_HEADER[:3])
def test_id_table_lacking_a_column_is_refused(tmp_path, name):
    path = tmp_path / "IdLookupTable.csv"
    written(path, [], [column for column in ID_HEADER if column != name])
    with pytest.raises(DataError, match=f"column {name}: the header lacks it"):
        read_id_table(path)


@pytest.mark.parametrize("content", [b"", b"RowId,ImageId,FeatureName\n", b"\xff\xfe\0"])
def test_empty_id_tables_are_refused(tmp_path, content):
    (tmp_path / "IdLookupTable.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"IdLookupTable\.csv"):
        read_id_table(tmp_path)


def test_absent_id_table_is_refused_with_what_is_wanted(tmp_path):
    with pytest.raises(DataError, match=r"holds no IdLookupTable\.csv, wanted IdLookupTable\.csv"):
        read_id_table(tmp_path)
    with pytest.raises(DataError, match=r"cannot be read: No such file.*wanted IdLookupTable\.csv"):
        read_id_table(tmp_path / "absent")


def test_id_table_takes_columns_by_name_and_knows_foreign_images(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_bytes(
        b'\xef\xbb\xbf"ImageId","FeatureName","RowId"\r\n7,nose_tip_y,1\r\n9,nose_tip_x,2'
    )
    table = read_id_table(path)
    assert (len(table), table.column.tolist(), table.image_id.tolist()) == (2, [21, 20], [7, 9])
    assert table.image_id.dtype == table.column.dtype == table.row_id.dtype == np.int64
    table.check_images(np.array([7, 9]))
    with pytest.raises(DataError) as caught:
        table.check_images({7, 8})
    assert str(caught.value) == f"{path}, row 2, column ImageId: image 9 is not in the test set"


# ---------------------------------------------------------------- benchmark and real files


def test_bench_load_reports_times_of_equal_values():
    report = bench_load(rows=30, quiet=True)
    assert set(report) == {
        "recipe_s", "cold_s", "warm_s", "cold_speedup", "warm_speedup", "cold_peak_mb", "rows"
    }  # fmt: skip
    assert report["rows"] == 30
    assert 0 < report["cold_peak_mb"] < 1000
    assert report["cold_speedup"] == pytest.approx(report["recipe_s"] / report["cold_s"])


def test_bench_load_reports_the_middle_time_and_the_largest_peak(monkeypatch):
    fingerprint = synthetic_faces(20).fingerprint
    cold = iter([(3.0, 90.0, fingerprint), (1.0, 95.0, fingerprint), (2.0, 80.0, fingerprint)])
    monkeypatch.setattr("kfkd.pipelines.bench_load._cold", lambda path: next(cold))
    report = bench_load(rows=20, quiet=True)
    assert (report["cold_s"], report["cold_peak_mb"]) == (2.0, 95.0)


@pytest.mark.real
def test_real_files(kaggle_folder):
    faces = load(kaggle_folder)
    full = faces.source == "full"
    assert (len(faces), full.sum(), (~full).sum()) == (6006, 1949, 4057)
    assert np.count_nonzero(full[1:] != full[:-1]) == 1
    assert faces.images.shape == (6006, 96, 96, 1)
    test = load(kaggle_folder, "test")
    table = read_id_table(kaggle_folder)
    assert (len(test), len(table)) == (1043, 15_626)
    table.check_images(test.ids)
    assert 0.25 < np.mean(test.source == "full") < 0.4
