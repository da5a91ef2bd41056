"""Files while they are written, and what killed writers have left of theirs.

Whoever writes holds the lock of the hidden file or folder beside the place. It ends with the
process, so that what nobody holds is rubbish, and goes when a process first writes into that
folder.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from kfkd.storage.locks import LOCK, hold, is_at

MARK = ".kfkd-"
"""What the names of unfinished files and folders have in them."""

_OURS = re.compile(rf"\..*{re.escape(MARK)}[a-z0-9_]{{8}}(\.[^.]*)?|.*{re.escape(LOCK)}")
_swept: set[Path] = set()


def begin(path: Path, is_folder: bool = False) -> tuple[Path, int | None]:
    """Makes an empty file or folder beside `path` under a name of its own.

    Args:
        path: what is to be made; its folder is there.
        is_folder: whether that is a folder.

    Returns:
        The file or folder, and the descriptor that holds its lock, None where there are no locks.
    """
    _sweep_once(path.parent)
    while True:
        if is_folder:
            name = tempfile.mkdtemp(prefix=f".{path.name}{MARK}", dir=path.parent)
            file = _opened(Path(name))
        else:
            suffix, prefix = path.suffix, f".{path.stem}{MARK}"
            file, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
        held = None if file is None else hold(file)
        if file is None or held is None:
            end(file)
            return Path(name), None
        if held and is_at(file, Path(name)):
            return Path(name), file
        end(file)  # another process sweeps it up before it was held


def end(file: int | None) -> None:
    """Lets a lock of `begin` go."""
    if file is not None:
        os.close(file)


def remove(path: Path) -> None:
    """Removes a file or folder, as far as that is allowed."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sweep(folder: Path, alone: bool = False) -> None:
    """Removes what killed writers left in a folder.

    Args:
        folder: where.
        alone: nobody else writes there, so that files without a lock to tell by go, too.
    """
    try:
        found = [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    except OSError:
        return
    for path in found:
        file = _opened(path)
        free = None if file is None else hold(file)
        if free or (free is None and alone):
            remove(path)
        end(file)


def _sweep_once(folder: Path) -> None:
    folder = folder.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def _opened(path: Path) -> int | None:
    """A descriptor to lock; None where the system opens no folders, or the file is another's."""
    try:
        return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except OSError:
        return None
