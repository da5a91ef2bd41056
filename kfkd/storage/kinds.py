"""Of what kind the parts of a JSON file are that may come from anyone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from kfkd.errors import KfkdError

NONE = type(None)
NUMBER = (int, float)
MAYBE = (int, float, NONE)

ASKED = 1e300
"""Settings go up to it, as searches try any; what was measured does not."""


class Numbers(tuple[type, ...]):
    """Kinds of an object's values, whatever its keys."""


class Rows(tuple[type, ...]):
    """Kinds of what stands in a list's lists."""


def check_plain(content: Any, largest: float = 1e15) -> None:
    """Refuses numbers that nobody measured, and characters that steer a terminal.

    Args:
        content: out of a JSON file, so it may be anything.
        largest: number that may be there.

    Raises:
        KfkdError: naming the first one.
    """
    ahead = [content]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            ahead += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            ahead += value
        elif isinstance(value, str):
            if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
                raise KfkdError(f"holds control characters: {value!r:.80}")
        elif isinstance(value, int | float) and not abs(value) <= largest:
            raise KfkdError(f"holds a number beyond measure: {value!r:.40}")


def check_kinds(
    value: Any,
    kinds: Mapping[str, Any] | Numbers,
    required: Iterable[str] = (),
    place: str = "",
) -> None:
    """Checks the parts of an object that are there, and that those are which must be.

    Args:
        value: out of a JSON file, so it may be anything.
        kinds: by key: a type, several, `Numbers` or `Rows`; other keys may be anything.
        required: keys that must be there.
        place: how messages call the object, "" = the whole.

    Raises:
        KfkdError: naming the part, what it is and what was wanted.
    """
    _refuse(value, dict, place or "it")
    if isinstance(kinds, Numbers):
        kinds = dict.fromkeys(value, tuple(kinds))
    for key, kind in kinds.items():
        if key in value or key in required:
            _check_value(value.get(key), kind, f"{place} {key}".strip())


def _check_value(value: Any, kind: Any, name: str) -> None:
    if isinstance(kind, Numbers):
        _refuse(value, dict, name)
        check_kinds(value, kind, (), name)
    elif isinstance(kind, Rows):
        _refuse(value, list, name)
        for row in value:
            _refuse(row, list, name)
            for one in row:
                _refuse(one, tuple(kind), name)
    else:
        _refuse(value, kind, name)


def _refuse(value: Any, kind: Any, name: str) -> None:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        return
    wanted = " or ".join(one.__name__ for one in kinds)
    shown = type(value).__name__
    raise KfkdError(f"{name:.60} is {shown}, not {wanted}")
