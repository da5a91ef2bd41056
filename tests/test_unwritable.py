"""Full disks and places that may only be read: one sentence, old files stay, nothing is left."""

import errno
import json
import os
import shutil
import subprocess
import sys
from io import FileIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from kfkd.cli import main
from kfkd.errors import KfkdError, WriteError
from kfkd.pipelines.synthetic import write_kaggle_folder
from kfkd.storage import downloading, files
from kfkd.storage.files import unwritten

NUMBERS = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EIO")

ON_A_TINY_DISK = """
import json, os, subprocess, sys
from pathlib import Path
import numpy as np
from kfkd.errors import KfkdError
from kfkd.drawing.figures import new_figure, save_figure
from kfkd.storage.files import whole_folder, write_json, write_text
from kfkd.storage.locks import locked
from kfkd.pipelines.sources import load_faces
from kfkd.pipelines.synthetic import synthetic_faces, synthetic_id_table, write_kaggle_folder
from kfkd.pipelines.video import video_writer
from kfkd.prediction import write_predictions
from kfkd.submissions.writer import write_submission

place, data = Path(sys.argv[1]), sys.argv[2]
os.environ["KFKD_CACHE"] = str(place / "cache")
faces, table = synthetic_faces(40), synthetic_id_table(3)

def state():
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}

def folder():
    with whole_folder(place / "folder") as beside:
        write_json(beside / "a.json", list(range(9000)))

def video():
    with video_writer(place / "v.mp4", 25) as writer:
        for _ in range(60):
            writer.add(np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8))
        if not writer.frames:  # no codec here
            raise KfkdError(f"cannot write {place / 'v.mp4'}")

writers = {
    "text": lambda: write_text(place / "a.txt", "new" * 9000),
    "picture": lambda: save_figure(new_figure(3, 3), place / "a.png"),
    "predictions": lambda: write_predictions(place / "p.csv", faces, faces.keypoints),
    "submission": lambda: write_submission(
        place / "s.csv", table, np.ones(len(table.row_id)), {"new": list(range(9000))}
    ),
    "folder": folder,
    "faces": lambda: write_kaggle_folder(place / "faces", train=9, test=1, quiet=True),
    "video": video,
}
for name in ("a.txt", "a.png", "p.csv", "s.csv", "s.json"):
    (place / name).write_text("old")

def attempts(told):
    for name, write in writers.items():
        if (name, told) == ("video", "full"):  # OpenCV begins none where nothing is free
            os.truncate(place / "filler", os.path.getsize(place / "filler") - 80_000)
        before, error = state(), None
        try:
            write()
        except KfkdError as caught:
            error = [type(caught).__name__, str(caught)]
        kept = state() == before and not list(place.rglob(".*"))
        print(json.dumps([told, name, error, kept]), flush=True)
    with locked(place / "run"):
        pass
    for _ in range(2):
        print(json.dumps([told, "load", len(load_faces(path=data))]))

with (place / "filler").open("wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
attempts("full")
subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
attempts("read-only")
"""


@pytest.fixture(scope="module")
def tiny_disk(tmp_path_factory):
    """What the writers say on a disk of 400 kB that is full, then read-only; no privileges."""
    folder = tmp_path_factory.mktemp("tiny")
    data = write_kaggle_folder(folder / "data", train=9, test=1)
    disk = folder / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o size=400k tmpfs "{disk}" &&'
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*alone, f"{mounted} true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a disk of their own")
    words = [sys.executable, "-c", ON_A_TINY_DISK, str(disk), str(data)]
    command = [*alone, f'{mounted} exec "$@"', "sh", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {(when, name): rest for when, name, *rest in told}, done.stderr


@pytest.mark.parametrize("when", ["full", "read-only"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("text", "a.txt"),
        ("picture", "a.png"),
        ("predictions", "p.csv"),
        ("submission", "s."),
        ("folder", "folder"),
        ("faces", "faces"),
        ("video", "v.mp4"),
    ],
)
def test_a_tiny_disk_is_named_and_keeps_what_it_had(tiny_disk, when, name, file):
    (error, kept), reason = tiny_disk[0][when, name], "No space left on device ("
    if when == "read-only":
        reason = "Read-only file system"
    if (name, when) == ("video", "full"):
        reason = "it was cut short; is the disk full?"
    kind, text = error
    assert kind == "WriteError" and kept
    assert text.startswith("cannot write ") and f"/disk/{file}" in text and reason in text
    assert "kfkd-" not in text and "\n" not in text
    assert "0.0 MB" not in text


def test_what_is_free_is_told_in_a_unit_that_says_something(tmp_path, monkeypatch):
    sizes = (0, 999, 4096, 999_950, 12_300_000, 5_000_000_000_000)
    told = ["0 bytes", "999 bytes", "4.1 kB", "1.0 MB", "12.3 MB", "5000.0 GB"]
    assert [files._told(size) for size in sizes] == told
    system = SimpleNamespace(f_files=1000, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda folder: system)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    taken = pytest.raises(WriteError, match=r"4\.1 kB free, but all 1,000 inodes are taken")
    with taken, files.replacing(tmp_path / "a.txt"):
        raise full
    system.f_files = 0  # a file system without a table of them
    wanted = pytest.raises(WriteError, match=r"9 bytes wanted, 4\.1 kB free\)")
    with wanted, files.replacing(tmp_path / "a.txt", 9):
        raise full


@pytest.mark.parametrize("when", ["full", "read-only"])
def test_a_cache_on_a_tiny_disk_costs_one_line(tiny_disk, when):
    told, said = tiny_disk
    assert told[when, "load"][0] == 9
    reason = "No space left" if when == "full" else "Read-only file system"
    lines = [line for line in said.splitlines() if "not cached" in line and reason in line]
    assert len(lines) == 1 and "/disk/cache: " in lines[0]


@pytest.mark.parametrize("number", NUMBERS)
def test_whatever_the_system_says_is_passed_on(tmp_path, monkeypatch, number):
    number = getattr(errno, number)
    path = tmp_path / "a.json"
    files.write_json(path, "old")

    def fail(self, *arguments, **settings):
        self.write_bytes(b"half")
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(WriteError) as caught:
        files.write_json(path, "new" * 500_000)
    told, reason = str(caught.value), os.strerror(number)
    assert told.startswith(f"cannot write {path}: {reason}") and isinstance(caught.value, KfkdError)
    assert ("(1.5 MB wanted, " in told) == (number == errno.ENOSPC)
    assert files.read_json(path) == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["mkstemp", "replace", "chmod"])
def test_each_step_of_a_write_may_fail(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(*arguments, **settings):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    owner = files.Path if step != "mkstemp" else __import__("tempfile")
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(WriteError, match=r"cannot write .*a\.txt: Permission denied$"):
        files.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_errors_of_libraries_are_understood(tmp_path):
    words = "{{node SaveV2}} /a/variables/part-00000; No space left on device [Op:SaveV2]"
    assert unwritten(RuntimeError(words)) == "No space left on device"
    assert unwritten(OSError("Can't write data (errno = 28, 'No space left on device')"))
    assert unwritten(RuntimeError("an operation lacks")) is None
    assert unwritten(FileNotFoundError(2, "No such file or directory")) is None
    told = pytest.raises(WriteError, match=r"cannot write .*a\.txt: No space left on device \(")
    with told, files.replacing(tmp_path / "a.txt") as beside:
        beside.write_text("half")
        raise RuntimeError(words)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_read_meanwhile_is_named(tmp_path):
    told = pytest.raises(WriteError, match=r"cannot write .*a\.txt: No such file .*: .*other\.txt")
    with told, files.replacing(tmp_path / "a.txt"):
        (tmp_path / "other.txt").read_text()


def test_a_folder_that_cannot_be_filled_is_named_by_its_own_name(tmp_path, monkeypatch):
    def fail(self, *arguments, **settings):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "write_text", fail)
    told = pytest.raises(WriteError, match=r"write .*/made/a\.json: Read-only file system$")
    with told, files.whole_folder(tmp_path / "made") as beside:
        files.write_json(beside / "a.json", 1)
    assert not list(tmp_path.iterdir())


def test_a_download_on_a_full_disk_does_not_blame_the_network(tmp_path):
    part = tmp_path / ".a.zip.part"
    with FileIO("/dev/full", "w") as full, pytest.raises(WriteError) as caught:
        downloading._put(b"content", full, part)
    assert str(caught.value) == (
        f"cannot write {part}: No space left on device; the same command goes on"
    )


def test_a_command_prints_one_line_and_exits_2(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["synthetic", str(tmp_path / "file" / "x"), "--train", "1", "--test", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kfkd: cannot write ") and "Not a directory" in line
