from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kfkd import load_faces
from kfkd.data import as_faces
from kfkd.errors import DataError, KfkdError, UnknownName
from kfkd.pipelines import sources
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder


@pytest.fixture
def faces_folder(tmp_path):
    return write_kaggle_folder(tmp_path / "faces", train=5, test=3)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data named, none in the usual places, and an empty current folder."""
    monkeypatch.delenv("KFKD_DATA", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    usual = sources.usual_places
    monkeypatch.setattr(sources, "usual_places", lambda: usual(tmp_path / "root"))
    monkeypatch.setattr(sources, "SYNTHETIC_TRAIN", 12)
    monkeypatch.setattr(sources, "SYNTHETIC_TEST", 7)
    return tmp_path


@pytest.mark.parametrize("zipped", [False, True])
def test_built_in_folder_reads_back_as_built_in_faces(tmp_path, zipped):
    folder = write_kaggle_folder(tmp_path / "faces", train=9, test=3, seed=3, zipped=zipped)
    read, made = load_faces(path=folder, quiet=True), synthetic_faces(9, seed=3)
    assert read.fingerprint == made.fingerprint
    assert read.source.tolist() == made.source.tolist()
    assert read.group.tolist() == made.group.tolist()
    assert read.origin == "synthetic"
    direct = folder / ("training.zip" if zipped else "training.csv")
    assert load_faces(path=direct, quiet=True).origin == "synthetic"


def test_path_of_the_faces_loads_them_again(faces_folder, monkeypatch):
    monkeypatch.chdir(faces_folder.parent)
    faces = load_faces(path="faces", quiet=True)
    assert faces.path == str(faces_folder)
    monkeypatch.chdir("/")
    assert load_faces(path=faces.path, quiet=True).fingerprint == faces.fingerprint


@pytest.mark.parametrize(
    "place",
    [
        "root/kaggle/input/facial-keypoints-detection",
        "root/kaggle/input/competitions/facial-keypoints-detection",
        "root/kaggle/input/my-upload",
        "root/content",
        "root/content/data",
        "root/content/facial-keypoints-detection",
        "root/content/drive/MyDrive/facial-keypoints-detection",
        "here/data",
        "here/data/facial-keypoints-detection",
    ],
)
def test_usual_places_are_found(nowhere, faces_folder, place, capsys):
    (nowhere / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(faces_folder, nowhere / place, dirs_exist_ok=True)
    assert len(load_faces()) == 5
    assert len(load_faces(part="test")) == 3
    assert capsys.readouterr().err == ""


def test_environment_comes_before_usual_places(nowhere, faces_folder, monkeypatch):
    write_kaggle_folder("data", train=2, test=1)
    monkeypatch.setenv("KFKD_DATA", str(faces_folder))
    assert len(load_faces()) == 5


@pytest.mark.parametrize("kind", ["empty", "absent"])
def test_environment_without_files_is_an_error_not_a_fall_back(nowhere, monkeypatch, kind):
    folder = nowhere / kind
    if kind == "empty":
        folder.mkdir()
    monkeypatch.setenv("KFKD_DATA", str(folder))
    with pytest.raises(DataError, match=r"KFKD_DATA names no .* wanted training\.csv") as caught:
        load_faces()
    assert str(folder) in str(caught.value)


def test_without_any_files_built_in_faces_stand_in_and_say_so(nowhere, capsys):
    train = load_faces()
    (line,) = capsys.readouterr().err.splitlines()
    assert "built-in faces" in line and "KFKD_DATA" in line
    assert train.origin == "synthetic"
    assert train.fingerprint == synthetic_faces(12, seed=0).fingerprint
    test = load_faces(part="test", quiet=True)
    assert capsys.readouterr().err == ""
    assert (len(test), test.origin, test.ids.tolist()) == (7, "synthetic", list(range(1, 8)))
    assert np.isnan(test.keypoints).all()
    assert not set(test.group) & set(train.group)


def test_built_in_test_faces_are_those_of_a_folder_written_by_default(tmp_path):
    made = load_faces("synthetic", part="test")
    folder = write_kaggle_folder(tmp_path / "faces", train=1)
    read = load_faces(path=folder, part="test", quiet=True)
    assert len(made) == 300 and made.fingerprint == read.fingerprint
    assert made.source.tolist() == read.source.tolist()
    assert made.group.tolist() == read.group.tolist()
    assert (made.origin, made.path) == ("synthetic", "")


def test_built_in_faces_by_name_say_nothing(nowhere, capsys):
    assert len(load_faces("synthetic")) == 12
    assert capsys.readouterr().err == ""


def test_half_a_data_set_is_not_completed_with_built_in_faces(nowhere, faces_folder):
    Path("data").mkdir()
    shutil.copy(faces_folder / "training.csv", "data")
    assert len(load_faces(quiet=True)) == 5
    with pytest.raises(DataError, match=r"holds no test\.csv, wanted test\.csv, test\.zip or"):
        load_faces(part="test", quiet=True)


def test_another_competition_is_passed_over(nowhere, faces_folder):
    other = nowhere / "root" / "kaggle" / "input" / "a-titanic"
    other.mkdir(parents=True)
    (other / "test.csv").write_text("PassengerId\n1\n")
    shutil.copytree(faces_folder, other.parent / "my-upload")
    assert len(load_faces(part="test", quiet=True)) == 3


def test_broken_zip_in_a_usual_place_is_an_error(nowhere):
    Path("data").mkdir()
    Path("data/facial-keypoints-detection.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged or not a zip"):
        load_faces(quiet=True)


@pytest.mark.parametrize("path", ["absent", "absent/training.csv", "absent.zip"])
def test_absent_path_says_what_is_wanted(tmp_path, path):
    with pytest.raises(DataError, match=r"No such file or directory; wanted training\.csv"):
        load_faces(path=tmp_path / path)


def test_options_without_a_name_say_what_is_wanted(tmp_path):
    with pytest.raises(KfkdError, match=r"options of crops want NAME:PATH\?…, NAME one of imm"):
        as_faces(f"{tmp_path}?lazy=true")
    for text in ("?lazy=true", "a" * 300 + "?x"):
        with pytest.raises(DataError):
            as_faces(text)


def test_empty_folder_says_what_is_wanted(tmp_path):
    with pytest.raises(DataError, match=r"holds no training\.csv, wanted training\.csv, training"):
        load_faces(path=tmp_path)


@pytest.mark.parametrize("cache", [False, True])
def test_folder_in_place_of_a_file_is_refused(tmp_path, cache):
    (tmp_path / "training.csv").mkdir()
    with pytest.raises(DataError, match=r"training\.csv: cannot be read: Is a directory"):
        load_faces(path=tmp_path, cache=cache)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("cache", [False, True])
def test_unreadable_file_is_refused(faces_folder, cache):
    (faces_folder / "training.csv").chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        load_faces(path=faces_folder, cache=cache)


def test_wrong_part_of_a_single_file_is_refused(faces_folder):
    with pytest.raises(DataError, match="column ImageId: the header lacks ImageId"):
        load_faces(path=faces_folder / "training.csv", part="test", quiet=True)
    with pytest.raises(DataError, match="column left_eye_center_x: the header lacks"):
        load_faces(path=faces_folder / "test.csv", quiet=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "kagle"}, UnknownName, "no data set is called 'kagle'; did you mean kaggle"),
        ({"part": "tset"}, UnknownName, "did you mean test"),
        ({"name": "synthetic", "path": "x"}, KfkdError, "path='x'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message.replace("?", r"\?")):
        load_faces(**arguments)


def test_progress_is_shown_on_a_terminal_only_and_wiped(faces_folder, monkeypatch, capsys):
    monkeypatch.setattr(sources, "_SLOW", 0)
    load_faces(path=faces_folder, cache=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    load_faces(path=faces_folder, cache=False, quiet=True)
    assert capsys.readouterr().err == ""
    load_faces(path=faces_folder, cache=False)
    shown = capsys.readouterr().err
    assert shown.startswith("\rreading training.csv ") and "100%" in shown
    assert shown.endswith("\r\033[K")


def test_reader_needs_neither_tensorflow_nor_pandas(faces_folder):
    code = (
        "import sys; from kfkd import load_faces; load_faces(path=sys.argv[1], cache=False);"
        "assert not {'tensorflow', 'keras', 'pandas'} & set(sys.modules)"
    )
    root = str(Path(sources.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code, str(faces_folder)], check=True, env=environment)
