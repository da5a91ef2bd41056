"""What layers make of a face, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.figures import DPI
from kfkd.drawing.sheets import draw_face
from kfkd.drawing.tiles import Section, fitted, tile_figure
from kfkd.errors import KfkdError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_MAPS = 64
"""A picture shows no more maps of a layer: those with the most contrast."""

_SIDE, _FACE, _TOP, _WORDS = 96, 192, 40, 330
"""In dots: a map, the face, what is above it, the words beside it."""

_POINTS = {
    (True, True): ["blue: its labels, red: the prediction"],
    (True, False): ["blue: its labels"],
    (False, True): ["red: the prediction"],
    (False, False): [],
}
_MAPS = ["each map in its own scale:", "dark = its lowest value, bright = its highest"]
_STYLE: dict[str, Any] = {"fontsize": 9, "va": "center", "linespacing": 1.6}


def maps_figure(
    maps: Mapping[str, np.ndarray],
    image: np.ndarray,
    title: str,
    truth: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
) -> Figure:
    """The face with its keypoints, and below it the maps of some layers.

    Args:
        maps: float (h, w, c) by layer, at least one.
        image: uint8 (h, w, 1 or 3).
        title: above the picture.
        truth: (k, 2) in pixels, drawn blue.
        predicted: (k, 2) in pixels, drawn red.

    Returns:
        The figure; each map goes from its own lowest value, dark, to its highest, bright.

    Raises:
        KfkdError: when a layer gives no maps.
    """
    sections = [_section(name, values) for name, values in maps.items()]
    height, width = image.shape[:2]
    tall = round(_FACE * height / width)
    figure = tile_figure(title, sections, room=tall, least_width=_FACE + _WORDS)
    across, down = figure.get_size_inches() * DPI
    left, low = (across - _FACE - _WORDS) / 2, 1 - (_TOP + tall) / down
    axes = figure.add_axes((left / across, low, _FACE / across, tall / down))
    draw_face(axes, image, truth, predicted)
    told = [f"{height}×{width} pixels", *_POINTS[truth is not None, predicted is not None], *_MAPS]
    figure.text((left + _FACE + 14) / across, low + tall / down / 2, "\n".join(told), **_STYLE)
    return figure


def _section(name: str, values: np.ndarray) -> Section:
    if values.ndim != 3:
        raise KfkdError(f"{name} gives {values.shape}, wanted maps (height, width, channels)")
    height, width, count = values.shape
    contrast = np.nan_to_num(np.ptp(values, axis=(0, 1)))
    # Those with the most contrast, in the layer's own order.
    rows = np.sort(np.argsort(-contrast, kind="stable")[:MOST_MAPS])
    flat = int((contrast == 0).sum())
    told = f"{name}: {count} map{'' if count == 1 else 's'} of {height}×{width}"
    told += f", the {len(rows)} with the most contrast shown" if len(rows) < count else ""
    told += f"; {flat} of the {count} the same everywhere" if flat else ""
    tiles = fitted(_coloured(values.transpose(2, 0, 1)[rows]), _SIDE)
    return Section(told, tiles, [str(row + 1) for row in rows])


def _coloured(maps: np.ndarray) -> np.ndarray:
    """uint8 (n, h, w, 3) of maps (n, h, w), each in its own range of values."""
    from matplotlib import colormaps

    lowest = maps.min(axis=(1, 2), keepdims=True)
    ranges = maps.max(axis=(1, 2), keepdims=True) - lowest
    shares = (maps - lowest) / np.where(ranges > 0, ranges, 1)
    return colormaps["viridis"](np.nan_to_num(shares), bytes=True)[..., :3]
