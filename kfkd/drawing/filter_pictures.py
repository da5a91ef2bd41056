"""The kernels of a first convolution as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kfkd.drawing.tiles import Section, fitted, tile_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FILTERS, MOST_CHANNELS = 128, 8
"""A picture shows no more filters of a layer, and no more input channels of a filter."""

_SIDE = 64


def kernel_figure(kernel: np.ndarray, title: str) -> Figure:
    """A small picture for each filter and input channel, all in one symmetric scale of grey.

    Args:
        kernel: float (height, width, channels, filters); of three channels each filter also gets
            its kernel in colour.
        title: above the picture.

    Returns:
        The figure; mid-grey is 0, white and black the largest weight of all and its negative.

    Example:
        >>> figure = kernel_figure(np.zeros((3, 3, 1, 10), np.float32), "first layer")
    """
    height, width, channels, filters = kernel.shape
    shown = kernel[:, :, :MOST_CHANNELS, :MOST_FILTERS]
    largest = float(np.nanmax(np.abs(kernel), initial=0.0))
    levels = _levels(shown.transpose(3, 2, 0, 1), largest)
    grey = np.repeat(levels[..., None], 3, axis=-1)
    names = [""] if channels == 1 else [f"channel {i + 1}" for i in range(grey.shape[1])]
    if channels == 3:
        grey = np.concatenate([grey, levels.transpose(0, 2, 3, 1)[:, None]], axis=1)
        names = ["red", "green", "blue", "in colour"]
    count, group = grey.shape[:2]
    labels = [_label(i + 1, name, names[0]) for i in range(count) for name in names]
    told = f"{filters} filters of {height}×{width}, {channels} input channel"
    told += "" if channels == 1 else "s"
    cut = [f"the first {count} filters"] if count < filters else []
    cut += [f"the first {MOST_CHANNELS} channels"] if channels > MOST_CHANNELS else []
    told += f" ({', '.join(cut)} shown)" if cut else ""
    scale = f"black −{largest:.2g}, grey 0, white {largest:.2g}"
    tiles = fitted(grey.reshape(count * group, height, width, 3), _SIDE)
    return tile_figure(title, [Section(f"{told}; {scale}", tiles, labels, group)])


def _label(number: int, name: str, first: str) -> str:
    return f"{number}  {name}".rstrip() if name == first else name


def _levels(weights: np.ndarray, largest: float) -> np.ndarray:
    """Weights as uint8 levels, symmetric about mid-grey."""
    shares = weights / max(largest, np.finfo(np.float32).tiny)
    return np.rint(127.5 + 127.5 * np.nan_to_num(shares)).astype(np.uint8)
