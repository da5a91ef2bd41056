"""Mixes as text: `original | rotate(10), blur(1), frame(border="edge")`."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from math import prod
from typing import Any

from kfkd.augment.detail import Blur, Jpeg, MotionBlur, Noise, Sharpen
from kfkd.augment.elastic import Elastic
from kfkd.augment.geometry import Crop, Flip, Perspective, Rotate, Scale, Shear, Shift
from kfkd.augment.mixing import Frame, Mix
from kfkd.augment.occlusion import CutOut
from kfkd.augment.tone import Brightness, Clahe, Contrast, Equalize, Gamma
from kfkd.augment.transforms import Transform
from kfkd.errors import KfkdError, UnknownName

KINDS: dict[str, type[Transform]] = {
    "flip": Flip,
    "rotate": Rotate,
    "shift": Shift,
    "scale": Scale,
    "shear": Shear,
    "perspective": Perspective,
    "elastic": Elastic,
    "crop": Crop,
    "brightness": Brightness,
    "contrast": Contrast,
    "gamma": Gamma,
    "equalize": Equalize,
    "clahe": Clahe,
    "blur": Blur,
    "motion_blur": MotionBlur,
    "sharpen": Sharpen,
    "noise": Noise,
    "jpeg": Jpeg,
    "cut_out": CutOut,
}
"""Transforms by the name that a mix calls them."""

_LONGEST = 10_000
_MOST = 256


def mix_from(text: str, name: str = "", named: Mapping[str, str] | None = None) -> Mix:
    """A mix from its text.

    Args:
        text: transforms with their arguments, separated by commas; alternatives separated by `|`;
            `original` for images as they are; `frame(…)` anywhere, once.
        name: how messages call the mix.
        named: texts of mixes whose names may stand for them; their frames count where the text has
            none of its own.

    Returns:
        The mix; `str()` of it gives the text again, names written out.

    Raises:
        UnknownName: when there is no such transform.
        KfkdError: when the text is none of a mix, or a number is out of its range.

    Example:
        >>> mix_from("flip(p=0.5), rotate(15) | original").branches[1]
        ()
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise KfkdError(f"a mix wants a text of {_LONGEST:,} characters at most. {text!r:.80}…")
    branches: list[list[Transform]] = []
    frames: list[Frame] = []
    inner: list[Frame] = []
    parts = text.split("|")
    for part in parts:
        items = [_item(node, text, named or {}) for node in _calls(part, text)]
        if len(parts) > 1 and all(isinstance(item, Frame) for item in items):
            raise KfkdError(
                "a frame is the whole mix's: put it behind a transform, alone it would be a part "
                f"that changes nothing. Received: {part.strip()!r}"
            )
        frames += [item for item in items if isinstance(item, Frame)]
        mixes = [item for item in items if isinstance(item, Mix)]
        inner += [mix.frame for mix in mixes if mix.frame != Frame()]
        branches += _joined([mix.branches for mix in mixes], text)
        _check_count(len(branches), text)
    return Mix(branches, _frame(frames, inner, text), name)


def _joined(parts: list[Sequence[Sequence[Transform]]], text: str) -> list[list[Transform]]:
    """The branches of mixes one behind the other: each of the first with each of the next."""
    _check_count(prod(map(len, parts)), text)
    return [[transform for branch in way for transform in branch] for way in product(*parts)]


def _check_count(branches: int, text: str) -> None:
    if branches > _MOST:
        raise KfkdError(f"a mix wants {_MOST} branches at most. Received: more in {text!r:.200}")


def _frame(own: list[Frame], inner: list[Frame], text: str) -> Frame:
    if len(own) > 1:
        raise KfkdError(f"a mix wants one frame at most. Received: {text!r}")
    if not own and any(frame != inner[0] for frame in inner):
        raise KfkdError(f"several frames: the text wants one of its own. Received: {text!r:.500}")
    return (own or inner or [Frame()])[0]


def _calls(part: str, text: str) -> list[ast.expr]:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(part.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(part, text) from error
    return tree.elts if isinstance(tree, ast.Tuple) else [tree]


def _item(node: ast.expr, text: str, named: Mapping[str, str]) -> Mix | Frame:
    """A frame, or a transform or a named mix as a mix."""
    if isinstance(node, ast.Name) and node.id in named:
        return mix_from(named[node.id])
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name) or any(k.arg is None for k in call.keywords):
        raise _unreadable(_shown(node), text)
    name = call.func.id
    if name == "original":
        if call.args or call.keywords:
            raise KfkdError(f"original takes no numbers. Received: {_shown(node)}")
        return Mix([[]])
    if name in named:
        raise KfkdError(f"{name} is a mix and takes no numbers. Received: {_shown(node):.200}")
    if name not in KINDS and name != "frame":
        raise UnknownName("transform", name, [*KINDS, "frame", "original", *named])
    made = _made(Frame if name == "frame" else KINDS[name], name, call, text)
    return made if isinstance(made, Frame) else Mix([[made]])


def _made(kind: Any, name: str, call: ast.Call, text: str) -> Any:
    try:
        positional = [ast.literal_eval(value) for value in call.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise _unreadable(_shown(call), text) from error
    try:
        return kind(*positional, **named)
    except KfkdError:
        raise
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        known = ", ".join(f.name for f in sorted(fields(kind), key=lambda f: f.kw_only is True))
        raise KfkdError(f"{name} takes the arguments {known}. Received: {_shown(call)}") from error


def _shown(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:  # as many minus signs as a text may have
        return "…"


def _unreadable(part: str, text: str) -> KfkdError:
    return KfkdError(
        "a mix reads like 'original | flip(p=0.5), rotate(15)'. "
        f"Received: {part.strip()!r:.200} in {text!r:.1000}"
    )
