"""Settings as words of a command line: KEY=VALUE, the value as Python writes it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kfkd.errors import KfkdError
from kfkd.registry import Plateau, entry
from kfkd.searches.spaces import builder_options
from kfkd.views import views_from

_CODEC = "codec."


def key_values(name: str, texts: Sequence[str], flag: str) -> dict[str, Any]:
    """Settings of `kfkd.train` from the words after a flag.

    Args:
        name: entry of the zoo; what its builder has as an option becomes one, and "codec.KEY"
            becomes a setting of its codec.
        texts: "KEY=VALUE" each, the value as Python writes it, or a bare word.
        flag: what to call the flag in an error.

    Raises:
        KfkdError: when one reads otherwise.

    Example:
        >>> key_values("lenet5", ["loss=mse", "units=60"], "--set")
        {'loss': 'mse', 'options': {'units': 60}}
    """
    known = builder_options(entry(name))
    settings: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {"options": {}, "codec": {}}
    for text in texts:
        key, found, value = text.partition("=")
        of_codec = key.startswith(_CODEC)
        key = key.removeprefix(_CODEC)
        if not found or not key.isidentifier():
            raise KfkdError(f"{flag} wants KEY=VALUE, such as batch_size=64. Received: {text}")
        place = inner["codec"] if of_codec else inner["options"] if key in known else settings
        place[key] = _value(value)
    if isinstance(plateau := settings.get("plateau"), dict):
        settings["plateau"] = _plateau(plateau)
    if isinstance(views := settings.get("views"), dict):
        settings["views"] = views_from(views)
    return {**settings, **{key: found for key, found in inner.items() if found}}


def other_settings(
    names: Sequence[str], texts: Sequence[str], refused: Collection[str], verb: str
) -> dict[str, Any]:
    """What stands after a command's --set, the same for all of its models.

    Args:
        names: entries of the zoo.
        texts: as for `key_values`.
        refused: settings that the command has flags for, or that are none of it.
        verb: the command.

    Raises:
        KfkdError: when one reads otherwise, is refused, or is an option of some models only.
    """
    found = {name: key_values(name, texts, "--set") for name in names}
    first = found[names[0]]
    refuse(first, refused, "--set", verb)
    for name, other in found.items():
        odd = {*first.get("options", ())} ^ {*other.get("options", ())}
        if odd:
            raise KfkdError(
                f"--set wants options that all models have. Received: {', '.join(sorted(odd))} for "
                f"{names[0]} and {name}"
            )
    return first


def refuse(keys: Iterable[str], refused: Collection[str], flag: str, verb: str) -> None:
    """Refuses settings that a command has flags for, or that are none of it.

    Args:
        keys: what stood after the flag.
        refused: these settings.
        flag: what it is called.
        verb: the command.

    Raises:
        KfkdError: naming the first of them.
    """
    for key in keys:
        if key in refused:
            raise KfkdError(f"{flag} has no {key}; see kfkd {verb} --help for its flag")


def key_value_words(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The words that `key_values` reads these settings from.

    Args:
        settings: by name, numbers, texts, lists and dicts of them.
        prefix: "codec." for a codec's.

    Example:
        >>> key_value_words({"sigma": 3.0, "decoder": "dark"}, "codec.")
        ['codec.sigma=3.0', 'codec.decoder=dark']
    """
    return [f"{prefix}{key}={_word(value)}" for key, value in settings.items()]


def _plateau(given: Mapping[str, Any]) -> Plateau:
    try:
        return Plateau(**given)
    except TypeError as error:
        wanted = ", ".join(Plateau.__dataclass_fields__)
        raise KfkdError(f"plateau wants numbers for {wanted}. Received: {given!r}") from error


def _word(value: Any) -> str:
    bare = isinstance(value, str) and _value(value) == value
    return value if bare else repr(value)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
