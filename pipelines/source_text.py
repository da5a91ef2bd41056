"""Data sets of photos as one line of text, and told by what lies in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kfkd.errors import KfkdError, UnknownName
from kfkd.pipelines.photo_folder import names_photos
from kfkd.pipelines.photo_sources import KINDS, PARTS


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "size": (_size, "HEIGHTxWIDTH"),
    "channels": (int, "1 or 3"),
    "margin": (float, "a share of the box's side"),
    "part": (lambda text: PARTS[PARTS.index(text)], "train or test"),
    "normalise": (lambda text: tuple(map(unquote, text.split(","))), "two keypoints: NAME,NAME"),
    "lazy": (lambda text: {"true": True, "false": False}[text], "true or false"),
}
_TEXT = re.compile(r"([a-z_]+):(.+?)(?:\?([a-z]+=[^?]*))?", re.S)


def photo_source(text: str) -> tuple[str, str, dict[str, Any]] | None:
    """What a text such as "ibug:/data/ibug?size=96x96&channels=1" names.

    Args:
        text: NAME:PATH, then what is asked of the crops: size, channels, margin, lazy, part, and
            of a folder normalise.

    Returns:
        The data set's name, the path and the options; None where the text is no such thing.

    Raises:
        KfkdError: when an option is not known or makes no sense.

    Example:
        >>> photo_source("imm:faces?channels=1")
        ('imm', 'faces', {'channels': 1})
    """
    found = _TEXT.fullmatch(text)
    if found is None or found[1] not in KINDS:
        return None
    options: dict[str, Any] = {}
    for option in (found[3] or "").split("&"):
        key, _, value = option.partition("=")
        if not option:
            continue
        if key not in _OPTIONS:
            raise UnknownName(f"option of {found[1]}:PATH", key, list(_OPTIONS))
        read, wanted = _OPTIONS[key]
        try:
            options[key] = read(value)
        except (ValueError, KeyError):
            raise KfkdError(f"{key} wants {wanted}. Received: {key}={value}") from None
    return found[1], found[2], options


def photo_kind(path: Path) -> str | None:
    """Which data set of photos lies in a folder, judged by its files; None = none of them."""
    try:
        if path.is_file():
            by_suffix = {".xml": "ibug", ".csv": "folder" if names_photos(path) else None}
            return by_suffix.get(path.suffix.lower())
        for name, kind in KINDS.items():
            found = (file for sign in kind.signs for file in path.glob(sign))
            if any(name != "folder" or names_photos(file) for file in found):
                return name
    except OSError:
        return None
    return None
