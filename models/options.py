"""Options that nets of the zoo share, so that a search can vary what is published.

Every builder has those that make sense of it, and their defaults are the published net:

- `width`: multiplies the filters of every convolution.
- `deeper`: convolutions (in residual nets blocks) a stage more than published, padded "same".
- `units`: of the first hidden dense layer, 0 = none; further ones keep their ratio to it,
  with one unit at the least.
- `dropout`: share of the numbers before the last layers that is left out in training; in nets that
  answer with maps, of whole channels.
- `activation`: of the convolutions, by its Keras name; on a backbone that comes with weights, whose
  own go with these, of the hidden dense layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kfkd.errors import KfkdError

_RANGES: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "width": ("a number above 0", lambda value: value > 0),
    "deeper": ("a whole number from 0", lambda value: value >= 0 and value % 1 == 0),
    "units": ("a whole number from 0", lambda value: value >= 0 and value % 1 == 0),
    "dropout": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
}

Builder = TypeVar("Builder", bound=Callable[..., Any])


def check_options(options: Mapping[str, Any]) -> None:
    """Refuses numbers for the shared options that no net can be built with.

    Args:
        options: for a builder; others than the shared ones are its own to check.

    Raises:
        KfkdError: naming the option, what it wants, and what was received.
    """
    for name, (wanted, fits) in _RANGES.items():
        value = options.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not fits(value):
            raise KfkdError(f"{name} wants {wanted}. Received: {name}={value!r}")


def widened(filters: int, width: float) -> int:
    """So many filters times `width`, one at the least."""
    return max(1, round(filters * width))


def deepened(
    block: Callable[..., Any], x: Any, *arguments: Any, deeper: int = 0, **settings: Any
) -> Any:
    """`block` as it is, then `deeper` times more without making the map smaller.

    Args:
        block: a function of `kfkd.models.blocks`, from tensor to tensor.
        x: (n, h, w, c).
        *arguments: of the block, such as the filters.
        deeper: how often more.
        **settings: of the block.
    """
    x = block(x, *arguments, **settings)
    more = {**settings, "padding": "same"} if "padding" in settings else settings
    for _ in range(deeper):
        x = block(x, *arguments, **more)
    return x


def options_of(shared: Callable[..., Any]) -> Callable[[Builder], Builder]:
    """A decorator for builders that hand their `**options` on: their signature names these.

    Args:
        shared: who gets them; its keyword-only arguments with a default are the options.

    Returns:
        The decorator; it returns the builder itself.
    """

    def told(builder: Builder) -> Builder:
        signature = inspect.signature(builder)
        own = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
        handed = [
            p
            for name, p in inspect.signature(shared).parameters.items()
            if p.kind is p.KEYWORD_ONLY and p.default is not p.empty and name not in own
        ]
        parameters = [*own.values(), *handed]
        builder.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return builder

    return told
