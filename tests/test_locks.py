"""Locks end with the process, name their holder, and keep killed writers' rubbish from staying."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from kfkd.errors import InUse, RunError
from kfkd.progress import say
from kfkd.storage import files, leftovers, locks
from kfkd.storage.locks import LOCK, holder, in_turn, locked, renewing

HOLDER = """
import sys, time
from contextlib import suppress
from pathlib import Path
from kfkd.storage.files import replacing, whole_folder
from kfkd.storage.locks import locked
with locked(sys.argv[1]), replacing(Path(sys.argv[1], "a.csv")) as file:
    with whole_folder(Path(sys.argv[1], "b")) as folder:
        file.write_text("half"), Path(folder, "c").write_text("half")
        print("here", flush=True)
        sys.stdin.read()
"""

has_locks = pytest.mark.skipif(locks.fcntl is None, reason="this system has no such locks")
pytestmark = has_locks


@contextmanager
def at_work(folder):
    """Another process that holds a folder and writes there."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "here\n"
        yield other
        other.kill()


def test_one_at_a_time_and_the_other_is_told_who(tmp_path):
    folder = tmp_path / "run"
    with at_work(folder) as other:
        with pytest.raises(InUse) as caught, locked(folder):
            pass
        told = str(caught.value)
        assert told.startswith(f"{folder} is in use by Python (process {other.pid} on ")
        assert socket.gethostname() in told and "since 20" in told and "wait" in told
        assert "\n" not in told and isinstance(caught.value, RunError)


def test_a_killed_process_holds_nobody_up_and_its_rubbish_goes(tmp_path):
    folder = tmp_path / "run"
    with at_work(folder) as other:
        leftovers.sweep(folder, alone=True)
        assert len(list(folder.iterdir())) == 3, "what somebody holds is no rubbish"
        other.send_signal(signal.SIGKILL)
        assert other.wait() == -signal.SIGKILL
    left = {path.name for path in folder.iterdir()}
    assert len(left) == 3 and all(name.startswith(".") for name in left)
    with locked(folder):
        files.write_text(folder / "new.txt", "new")
        assert {path.name for path in folder.iterdir()} == {LOCK, "new.txt"}
    assert [path.name for path in folder.iterdir()] == ["new.txt"]


def test_who_holds_a_folder_is_told_and_nothing_is_changed(tmp_path):
    folder = tmp_path / "run"
    assert holder(folder) is None and not folder.exists()
    with at_work(folder) as other:
        assert f"(process {other.pid} on {socket.gethostname()}" in holder(folder)
        os.kill(other.pid, signal.SIGSTOP)
        assert holder(folder), "one that stands still may go on"
        other.kill()
        other.wait()
        assert holder(folder) is None and (folder / LOCK).exists()
    (folder / LOCK).unlink()
    (folder / LOCK).symlink_to(tmp_path / "elsewhere")
    assert holder(folder) is None


def test_only_rubbish_is_swept(tmp_path):
    ours = [".run.kfkd-abcd_123.json", ".a.b.kfkd-abcdefgh", ".x.kfkd-abcdefgh.keras", LOCK]
    theirs = [".run-abcd_123.json", ".lock", "run.kfkd-abcd_123.json", ".run.kfkd-abc.json"]
    for name in [*ours, *theirs]:
        (tmp_path / name).write_text("")
    leftovers.sweep(tmp_path / "absent")
    leftovers.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs}


def test_the_holder_names_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kfkd", "train", "vgg", "--out", "my runs"])
    with locked(tmp_path):
        told = json.loads((tmp_path / LOCK).read_text())
        assert told["command"] == "kfkd train vgg --out 'my runs'" and told["pid"] == os.getpid()
        with pytest.raises(InUse, match="in use by kfkd train vgg"), locked(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}', "null"])
def test_a_lock_that_tells_nothing_is_a_lock(tmp_path, content):
    with locked(tmp_path):
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(InUse, match="another process"), locked(tmp_path):
            pass
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


def test_folders_made_for_a_lock_go_again_if_nothing_came_into_them(tmp_path):
    for failure in (ValueError, KeyboardInterrupt):
        with pytest.raises(failure), locked(tmp_path / "a" / "b"):
            raise failure
        assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "c").write_text("")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["c"]


@pytest.mark.parametrize("number", ["ENOLCK", "ENOTSUP", "EINVAL"])
def test_without_locks_all_go_on(tmp_path, monkeypatch, number):
    import errno

    def none(*arguments):
        raise OSError(getattr(errno, number), "no locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    with locked(tmp_path), locked(tmp_path), in_turn(tmp_path / ".a", pytest.fail):
        files.write_text(tmp_path / "a.txt", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    monkeypatch.setattr(locks, "fcntl", None)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_a_folder_that_may_only_be_read_has_no_lock(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_a_fork_neither_holds_nor_ends_the_lock(tmp_path):
    with locked(tmp_path):
        child = os.fork()
        if not child:
            try:
                with pytest.raises(InUse), locked(tmp_path):
                    pass
                os._exit(0 if not locks._HELD else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(InUse), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_whoever_comes_later_waits_and_says_for_whom(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.0)
    monkeypatch.setattr(locks, "_PAUSE", 0.01)
    said, order, waits = [], [], threading.Event()

    def tell(text):
        said.append(text)
        waits.set()

    def later():
        with in_turn(tmp_path / "a" / ".lock", tell):
            order.append("later")

    with in_turn(tmp_path / "a" / ".lock", pytest.fail):
        thread = threading.Thread(target=later)
        thread.start()
        assert waits.wait(60)
        order.append("first")
    thread.join()
    assert order == ["first", "later"]
    (line,) = said
    assert line.startswith("waiting for ") and f"process {os.getpid()}" in line
    assert not (tmp_path / "a").exists()


def test_a_table_is_renewed_by_one_process_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "_PATIENCE", 0.0)
    monkeypatch.setattr(locks, "_LONGEST", 0.0)  # as if both took longer than others wait
    monkeypatch.setattr(locks, "_PAUSE", 0.01)
    table, waits = tmp_path / "table.json", threading.Event()
    monkeypatch.setattr(locks, "say", lambda *told: (waits.set(), say(*told)))

    def add(row):
        rows = files.read_json(table) if table.exists() else []
        files.write_json(table, [*rows, row])

    def later():
        with renewing(table):
            add("later")

    with renewing(table, quiet=True):
        thread = threading.Thread(target=later)
        thread.start()
        assert waits.wait(60)
        add("first")
    thread.join()
    assert files.read_json(table) == ["first", "later"]
    assert capsys.readouterr().err.startswith(f"{table}: waiting for ")
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_nobody_waits_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_LONGEST", 0.0)
    with in_turn(tmp_path / ".lock", pytest.fail), in_turn(tmp_path / ".lock", pytest.fail):
        pass
