from __future__ import annotations

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kfkd import load_faces
from kfkd.errors import DataError
from kfkd.pipelines import cache, sources
from kfkd.pipelines.synthetic import write_kaggle_folder
from kfkd.storage import locks


@pytest.fixture
def folder(tmp_path):
    return write_kaggle_folder(tmp_path / "faces", train=6, test=4)


@pytest.fixture
def own(tmp_path, monkeypatch):
    own = tmp_path / "cache"
    monkeypatch.setenv("KFKD_CACHE", str(own))
    return own


@pytest.fixture
def parsed(monkeypatch):
    """Counts how often a file is parsed."""
    calls, read = [], sources.read_arrays

    def counting(member, *rest):
        calls.append(member.name)
        return read(member, *rest)

    monkeypatch.setattr(sources, "read_arrays", counting)
    return calls


@pytest.fixture
def hashed(monkeypatch):
    """Counts how often a file is hashed."""
    calls, digest = [], cache.file_digest
    monkeypatch.setattr(cache, "file_digest", lambda file: calls.append(file) or digest(file))
    return calls


@pytest.fixture
def aged(monkeypatch):
    """As if every file were older than the two seconds in which the index trusts nobody."""
    monkeypatch.setattr(cache, "_RACY_NS", -1)


def entries(own):
    return sorted((own / "arrays").glob("*"))


def damage(path, content):
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("zipped", [False, True])
def test_second_load_is_equal_and_parses_nothing(tmp_path, own, parsed, part, zipped):
    folder = write_kaggle_folder(tmp_path / "faces", train=6, test=4, zipped=zipped)
    first, second = (load_faces(path=folder, part=part, quiet=True) for _ in range(2))
    assert len(parsed) == 1
    for name in ("images", "keypoints", "source", "group", "ids"):
        a, b = getattr(first, name), getattr(second, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert first.notes == second.notes
    second.images[0] = 0  # callers own what they get
    assert load_faces(path=folder, part=part, quiet=True).fingerprint == first.fingerprint


def test_cache_off_leaves_nothing(folder, own, parsed):
    for _ in range(2):
        load_faces(path=folder, cache=False, quiet=True)
    assert len(parsed) == 2
    assert not own.exists()


def test_a_copy_elsewhere_hits_and_keeps_its_own_path_and_origin(folder, own, parsed, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "training.csv", other)
    first, second = (load_faces(path=path, quiet=True) for path in (folder, other))
    assert len(parsed) == 1
    assert (first.origin, second.origin) == ("synthetic", "kaggle")
    assert (first.path, second.path) == (str(folder), str(other))


def test_notes_are_kept_and_told_again(folder, own, parsed, capsys):
    file = folder / "training.csv"
    header, row, *rest = file.read_text().split("\n")
    file.write_text("\n".join([header, "97.25" + row[row.index(",") :], *rest]))
    first, second = load_faces(path=folder), load_faces(path=folder)
    assert len(parsed) == 1
    assert first.notes == second.notes != ()
    assert capsys.readouterr().err.count("97.25") == 2


def test_unchanged_file_is_hashed_once(folder, own, hashed, aged):
    for _ in range(3):
        load_faces(path=folder, quiet=True)
    assert len(hashed) == 1


def test_young_file_is_hashed_every_time(folder, own, hashed):
    for _ in range(2):
        load_faces(path=folder, quiet=True)
    assert len(hashed) == 2
    assert not (own / "index.json").exists()


@pytest.mark.parametrize("trusting", [False, True])
def test_same_size_and_restored_time_do_not_hide_a_change(folder, own, monkeypatch, trusting):
    if trusting:
        monkeypatch.setattr(cache, "_RACY_NS", -1)
    file = folder / "training.csv"
    before, old = load_faces(path=folder, quiet=True), file.stat()
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    content = file.read_bytes()
    place = len(content) - 2
    with file.open("r+b") as stream:
        stream.seek(place)
        stream.write(b"1" if content[place : place + 1] != b"1" else b"2")
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (old.st_size, old.st_mtime_ns)
    after = load_faces(path=folder, quiet=True)
    assert after.fingerprint != before.fingerprint


def test_a_newer_parser_reads_anew(folder, own, parsed, monkeypatch):
    load_faces(path=folder, quiet=True)
    monkeypatch.setattr(sources, "PARSER_VERSION", 99)
    load_faces(path=folder, quiet=True)
    assert len(parsed) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: damage(entry, b""),
        lambda entry: damage(entry, b"not an entry"),
        lambda entry: damage(entry, entry.read_bytes()[:-100]),
        lambda entry: damage(entry, entry.read_bytes()[:5000]),
        lambda entry: damage(entry, entry.read_bytes().replace(b"|u1", b"|i1")),
        lambda entry: damage(
            entry, bytes(b ^ (i == 20_000) for i, b in enumerate(entry.read_bytes()))
        ),
        lambda entry: np.savez(entry, images=np.zeros((2, 96, 96, 1), np.uint8)),
        lambda entry: np.savez(entry, images=np.array([{}], dtype=object)),
        lambda entry: (entry.unlink(), entry.mkdir()),
    ],
    ids=["empty", "text", "cut", "short", "type", "bit", "incomplete", "pickle", "folder"],
)
def test_damaged_entry_is_made_again_silently(folder, own, parsed, capsys, spoil):
    first = load_faces(path=folder)
    (entry,) = entries(own)
    spoil(entry)
    second = load_faces(path=folder)
    assert len(parsed) == 2
    assert second.fingerprint == first.fingerprint
    if entry.is_file():
        assert capsys.readouterr().err == ""
        load_faces(path=folder)
        assert len(parsed) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "[" * 100_000, None])
def test_damaged_index_is_ignored(folder, own, parsed, aged, content):
    first = load_faces(path=folder, quiet=True)
    index = own / "index.json"
    if content is None:
        known = json.loads(index.read_text())
        content = json.dumps({path: [state, "../../x"] for path, (state, _) in known.items()})
    index.write_text(content)
    assert load_faces(path=folder, quiet=True).fingerprint == first.fingerprint
    assert len(parsed) == 1
    assert str(folder / "training.csv") in json.loads(index.read_text())


def test_index_does_not_grow_without_end(folder, own, aged, tmp_path):
    for i in range(70):
        file = tmp_path / f"{i}.csv"
        shutil.copy(folder / "test.csv", file)
        load_faces(path=file, part="test", quiet=True)
    assert len(json.loads((own / "index.json").read_text())) == 64
    assert len(entries(own)) == 1


def test_unwritable_cache_costs_one_line_and_no_faces(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KFKD_CACHE", str(tmp_path / "file" / "cache"))
    assert len(load_faces(path=folder)) == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not cached: cannot write ")
    load_faces(path=folder, quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_cache_still_serves(folder, own, parsed):
    load_faces(path=folder, quiet=True)
    for path in (own, own / "arrays"):
        path.chmod(0o500)
    assert len(load_faces(path=folder, quiet=True)) == 6
    assert len(parsed) == 1
    for path in (own, own / "arrays"):
        path.chmod(0o700)


def test_nothing_is_kept_of_bad_input(folder, own, aged):
    file = folder / "training.csv"
    file.write_text(file.read_text().rstrip() + " 7\n")
    with pytest.raises(DataError, match="row 6, column Image"):
        load_faces(path=folder, quiet=True)
    assert not own.exists()


def test_file_written_to_while_it_is_read_is_not_kept(folder, own, monkeypatch, aged):
    read = sources.read_arrays

    def disturbed(member, *rest):
        arrays = read(member, *rest)
        with member.file.open("a") as file:
            file.write("\n")
        return arrays

    monkeypatch.setattr(sources, "read_arrays", disturbed)
    assert len(load_faces(path=folder, quiet=True)) == 6
    assert not own.exists()


def test_no_half_written_entry_is_left(folder, own, monkeypatch):
    def full_disk(file, **arrays):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    assert len(load_faces(path=folder, quiet=True)) == 6
    assert entries(own) == []


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KFKD_CACHE", str(tmp_path / "a"))
    assert cache.cache_folder() == tmp_path / "a"
    monkeypatch.delenv("KFKD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache.cache_folder() == tmp_path / "b" / "kfkd"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert cache.cache_folder() == tmp_path / "c" / ".cache" / "kfkd"


def test_entries_used_least_recently_go_when_there_are_too_many(own, tmp_path, monkeypatch):
    def load(name):
        file = tmp_path / name
        file.write_text(name)
        made.clear()
        arrays = {"a": np.zeros(1000)}
        cache.cached_arrays(file, "t-1", lambda: made.append(name) or arrays, lambda a: True)
        return bool(made)

    def age(name, seconds):
        (entry,) = (e for e in entries(own) if cache.file_digest(tmp_path / name) in e.name)
        os.utime(entry, (time.time() - seconds,) * 2)

    made = []
    monkeypatch.setattr(cache, "_MOST_BYTES", 20_000)  # room for two of 8,000 and a bit
    assert load("a") and load("b")
    age("a", 200)
    age("b", 100)
    other = own / "arrays" / ".half-written.npz"
    other.write_bytes(bytes(50_000))
    assert not load("a")  # a hit: now "b" is the one used least recently
    assert load("c") and len(entries(own)) == 3 and other.exists()
    assert not load("a") and not load("c") and load("b")
    monkeypatch.setattr(cache, "_MOST_BYTES", 10)
    assert load("d") and not load("d")
    assert len(entries(own)) == 2


@pytest.mark.parametrize("failure", [None, ZeroDivisionError])
def test_of_two_that_want_an_entry_one_makes_it_and_the_other_waits(
    own, tmp_path, monkeypatch, failure
):
    monkeypatch.setattr(locks, "_PATIENCE", 0.5)
    monkeypatch.setattr(locks, "_PAUSE", 0.01)
    file, waits, made, notes, failed = tmp_path / "a.txt", threading.Event(), [], [], []
    file.write_text("a")

    def make():
        made.append("made")
        assert waits.wait(60)
        if failure and len(made) == 1:
            raise failure
        return {"a": np.arange(3)}

    def note(text):
        notes.append(text)
        waits.set()

    def load():
        try:
            return cache.cached_arrays(file, "t-1", make, lambda arrays: True, note)["a"].tolist()
        except ZeroDivisionError:
            failed.append(failure)

    with ThreadPoolExecutor(2) as pool:
        found = [future.result() for future in [pool.submit(load) for _ in range(2)]]
    assert len(made) == (2 if failure else 1), "who waited for nothing makes it"
    assert sorted(found, key=str) == ([None, [0, 1, 2]] if failure else [[0, 1, 2]] * 2)
    assert failed == ([failure] if failure else [])
    (line,) = notes
    assert line.startswith("waiting for ") and f"process {os.getpid()}" in line
    assert len(entries(own)) == 1


def test_a_cache_that_cannot_be_written_is_told_once(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KFKD_CACHE", str(tmp_path / "file" / "cache"))
    load_faces(path=folder, quiet=True)
    for part in ("train", "test", "train"):
        load_faces(path=folder, part=part)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"not cached: cannot write {tmp_path / 'file' / 'cache'}: Not a directory"
