"""Reading files that may come from anyone: so much and no more, and none outside their folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfkd.errors import DataError, KfkdError

MOST_BYTES = 1 << 28
"""A text or JSON file has no more."""


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """An ordinary file's content.

    Args:
        path: the file; pipes and devices, which may never end, are refused.
        most: how many bytes it may have.

    Raises:
        DataError: when it is absent, cannot be read, is larger, or is no ordinary file.
    """
    path = Path(path)
    try:
        if is_device(path):
            raise DataError("cannot be read: it is no ordinary file", file=path)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", file=path) from error
    if len(content) > most:
        told = f"has more than {most // 10**6} MB, which nothing of its kind has"
        raise DataError(told, file=path)
    return content


def is_device(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder: it may never end."""
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:  # a name that is too long
        return False


def json_from(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: when it is no JSON, or nested beyond all measure.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def inside(folder: Path, name: Any) -> Path:
    """A file or folder that a file from anyone names, as it lies in `folder`.

    Args:
        folder: where it must lie; links that lead out of it are refused, too.
        name: out of a JSON file, so it may be anything.

    Raises:
        KfkdError: when it lies elsewhere, or is no name.
    """
    try:
        path = folder / name
        if path.resolve().is_relative_to(folder.resolve()) and path != folder:
            return path
    except (OSError, TypeError, ValueError, RuntimeError):  # nulls, loops of links, numbers
        pass
    raise KfkdError(f"{folder} names {name!r:.100}, which lies outside of it")
