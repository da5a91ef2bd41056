"""Locks of the operating system's: one at work in a folder, and the others are told who that is.

Such a lock ends with the process that holds it, however it ends; the file that is left then holds
nobody up. Where a file system has no locks, or a folder may only be read, all go on without.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from kfkd.errors import InUse
from kfkd.progress import say

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".kfkd-lock"
"""The file in a folder that names who is at work there."""

_PATIENCE, _LONGEST, _PAUSE = 2.0, 600.0, 0.1
_MOST, _TRIES = 4096, 100
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # a folder from anyone must not have another's file emptied
_HELD: set[int] = set()


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keeps other processes from working in `folder` as long as the block lasts.

    Args:
        folder: is made where it is absent, and removed again if it is empty at the end.

    Raises:
        InUse: when another process, or another thread of this one, is at work there.
    """
    folder = Path(folder)
    try:
        with _held(folder / LOCK, sure=2):
            yield
    except _Taken as taken:
        raise InUse(
            f"{folder} is in use by {taken}; wait until it ends, stop it, or name another folder"
        ) from None


def holder(folder: str | Path) -> str | None:
    """Who is at work in `folder`, in words.

    A network file system may keep locks that all its machines see, then this tells of those on
    other machines, too, and of one that went without a word until the system lets its lock go; or
    to each machine its own.

    Returns:
        None where nobody is, or the file system does not tell.
    """
    try:
        file = os.open(Path(folder) / LOCK, os.O_RDWR | _NO_LINK)
    except OSError:
        return None
    try:
        return _holder(file) if hold(file) is False else None
    finally:
        os.close(file)


@contextmanager
def renewing(path: Path, quiet: bool = False) -> Iterator[None]:
    """Lets one process after the other read a file and write it anew, so that each adds to it.

    Args:
        path: the file.
        quiet: do not say for whom it waits.
    """
    lock = path.with_name(f".{path.name}{LOCK}")
    with in_turn(lock, lambda told: say(f"{path}: {told}", quiet), longest=float("inf")):
        yield


@contextmanager
def in_turn(
    path: Path, tell: Callable[[str], None], longest: float | None = None
) -> Iterator[None]:
    """Lets one process after the other through the block.

    Args:
        path: the file to lock; its folder is made where it is absent.
        tell: told, in one sentence, for whom it waits when that takes long.
        longest: seconds after which whoever waits may go, too; None = ten minutes.
    """
    began, told = time.monotonic(), False
    longest = _LONGEST if longest is None else longest
    while True:
        try:
            with _held(path) if time.monotonic() - began < longest else nullcontext():
                yield
            return
        except _Taken as taken:
            if not told and time.monotonic() - began > _PATIENCE:
                tell(f"waiting for {taken}")
                told = True
        time.sleep(_PAUSE)


def hold(file: int) -> bool | None:
    """Takes the lock of an open file, which ends when the last of its descriptors is closed.

    Args:
        file: its descriptor.

    Returns:
        Whether the lock was free; None where the system has no locks for it.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # ENOLCK, ENOTSUP and their like
        return None
    return True


def is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


class _Taken(Exception):
    """Somebody else has the lock; the message says who."""


@contextmanager
def _held(path: Path, sure: int = 0) -> Iterator[None]:
    missing = [folder for folder in path.parents if not os.path.lexists(folder)]
    file, process = _take(path, sure), os.getpid()
    if file is None:
        yield
        return
    _HELD.add(file)
    try:
        with suppress(OSError):  # without its name it is a lock all the same
            os.ftruncate(file, 0)
            os.pwrite(file, _name().encode(), 0)
        yield
    finally:
        if os.getpid() == process:  # a fork of it does not have the lock
            with suppress(OSError):
                path.unlink()
            _HELD.discard(file)
            os.close(file)
            with suppress(OSError):
                for folder in missing:
                    folder.rmdir()


def _take(path: Path, sure: int) -> int | None:
    """A descriptor with the lock of `path`; None where none can be had.

    It is tried again `sure` times: whoever sweeps up a killed process' file holds it for a moment.
    """
    for attempt in range(_TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
        except FileNotFoundError:
            continue  # the folder went with its last holder
        except OSError:
            return None  # who writes there next will say what is wrong
        free = hold(file)
        if free and is_at(file, path):
            return file
        holder = _holder(file) if free is False else ""
        os.close(file)
        if free is None:
            with suppress(OSError):
                path.unlink()
            return None
        if holder and attempt >= sure:
            raise _Taken(holder)
        time.sleep(_PAUSE if holder else 0)
    return None


def _name() -> str:
    """This process, for others."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    command = "Python" if program in ("", "-c", "-m") else shlex.join([program, *sys.argv[1:]])
    return json.dumps(
        {
            "command": command if len(command) < 200 else f"{command[:200]} …",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
    )


def _holder(file: int) -> str:
    try:
        told = json.loads(os.pread(file, _MOST, 0))
        return "{command} (process {pid} on {host}, since {since})".format(**told)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def _let_go() -> None:
    """In a fork: the locks are its parent's, and are to end with it."""
    for file in _HELD:
        with suppress(OSError):
            os.close(file)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
