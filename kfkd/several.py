"""What users give one or several of."""

from __future__ import annotations

from types import UnionType
from typing import Any

from kfkd.errors import KfkdError


def several(given: Any, kind: type | UnionType, wanted: str) -> list[Any]:
    """What was given, one or several, as a list.

    Args:
        given: one of `kind`, or any number of them.
        kind: what each is.
        wanted: how a sentence calls it.

    Raises:
        KfkdError: when it is, or holds, something else.

    Example:
        >>> several("cv", str, "folders"), several(("a", "b"), str, "folders")
        (['cv'], ['a', 'b'])
    """
    if isinstance(given, kind):
        return [given]
    try:
        found = list(given)
    except TypeError:
        raise KfkdError(f"{wanted} are wanted, one or several. Received: {given!r:.100}") from None
    for one in found:
        if not isinstance(one, kind):
            raise KfkdError(f"{wanted} are wanted, one or several. Received: {one!r:.100}")
    return found
