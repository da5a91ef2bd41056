"""Who is watched may read; what it runs, fetches or writes elsewhere is noted, and is a failure."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NEVER = {
    *("os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.startfile", "os.fork"),
    *("subprocess.Popen", "pty.spawn", "webbrowser.open", "pickle.find_class"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"),
    *("urllib.Request", "ftplib.connect", "http.client.connect"),
}
_CHANGES = {
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate"),
    *("os.chmod", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_STANDARD = (sysconfig.get_paths()["stdlib"], "<frozen importlib")

_watcher: Watcher | None = None


class Watcher:
    """What was noted.

    Args:
        allowed: folders that may be written.
    """

    def __init__(self, allowed: tuple[Path, ...]) -> None:
        self.allowed = tuple(str(path.resolve()) for path in allowed)
        self.seen: list[str] = []

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Notes an event of Python's that it should not come to."""
        if event in _NEVER:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open" and _writes(arguments):
            self._check(event, arguments[0], last=not (arguments[2] or 0) & os.O_NOFOLLOW)
        elif event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            self._check(event, f"/proc/self/fd/{arguments[1]}/{arguments[0]}", last=False)
        elif event in _CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "shutil.move") else 1]:
                self._check(event, path, last=event not in ("os.remove", "os.rename"))
        elif event in ("exec", "marshal.loads") and not _is_import(event, arguments):
            self.seen.append(f"{event} {arguments!r:.200}")

    def _check(self, event: str, path: Any, last: bool = True) -> None:
        """Notes a path outside of what is allowed; `last` = a link at its end is followed."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike) or str(path) == os.devnull:
            return
        folder, name = os.path.split(path)
        found = os.path.realpath(path) if last else f"{os.path.realpath(folder)}/{name}"
        if not any(found == one or found.startswith(one + os.sep) for one in self.allowed):
            self.seen.append(f"{event} {found}")


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool({*mode} & {*"wax+"})
    return bool((flags or 0) & _WRITING)


def _is_import(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether code comes out of an installed file, or is made by Python's own modules."""
    caller = sys._getframe(3).f_code.co_filename
    if caller.startswith(_STANDARD) and "site-packages" not in caller:
        return True
    name = getattr(arguments[0], "co_filename", "") if event == "exec" else ""
    return bool(name) and Path(name).is_file()


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _watcher is not None:
        _watcher.hear(event, arguments)


sys.addaudithook(_heard)


def listing(root: Path, without: tuple[Path, ...] = ()) -> dict[str, tuple[Any, ...]]:
    """Every file and folder below `root`, with its length and time of writing."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(set(root.iterdir()) - {*without}):
        state = path.lstat()
        if path.is_dir() and not path.is_symlink():
            found |= {str(path): (oct(state.st_mode),), **listing(path, without)}
        else:
            found[str(path)] = (oct(state.st_mode), state.st_size, state.st_mtime_ns)
    return found


@contextmanager
def watched(root: Path, *allowed: Path) -> Iterator[None]:
    """Fails where the block runs or fetches something, or writes outside of the folders allowed.

    Args:
        root: all of it but those folders must stay as it is, whoever writes.
        allowed: folders that may be written.
    """
    global _watcher
    before, watcher = listing(root, allowed), Watcher(allowed)
    assert _watcher is None
    _watcher = watcher
    try:
        yield
    finally:
        _watcher = None
    if watcher.seen:
        raise AssertionError("\n".join(watcher.seen))
    assert listing(root, allowed) == before
