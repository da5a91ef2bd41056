"""Sheets of small pictures, in sections: kernels and feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kfkd.drawing.figures import DPI, new_figure
from kfkd.lazy import cv2

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _MOST = 1700, 16
"""A row is no wider, in dots, and has no more groups of tiles."""

_GAP, _APART, _LABEL, _TITLE, _HEAD, _EDGE = 4, 10, 15, 30, 40, 14
"""Lengths in dots: between tiles of a group and between groups; a tile's label, a section's and the
sheet's title, the margin."""


@dataclass(frozen=True)
class Section:
    """Small pictures of one kind.

    Args:
        title: above them.
        tiles: uint8 (n, h, w, 3), in groups that follow one another.
        labels: n words, one above each tile.
        group: how many tiles belong together.
    """

    title: str
    tiles: np.ndarray
    labels: Sequence[str]
    group: int = 1

    @property
    def columns(self) -> int:
        """Groups in a row."""
        fit = min(_MOST, (_WIDE + _APART) // self._step)
        return max(1, min(len(self.tiles) // self.group, fit))

    @property
    def width(self) -> int:
        """In dots."""
        return self.columns * self._step - _APART

    @property
    def height(self) -> int:
        """In dots, with its title."""
        return _TITLE + -(-len(self.tiles) // (self.group * self.columns)) * self._line

    @property
    def _step(self) -> int:
        return self.group * (self.tiles.shape[2] + _GAP) - _GAP + _APART

    @property
    def _line(self) -> int:
        return _LABEL + self.tiles.shape[1] + _GAP

    def place(self, index: int) -> tuple[int, int]:
        """Left and top of a tile in dots, within the section."""
        group, place = divmod(index, self.group)
        row, column = divmod(group, self.columns)
        left = column * self._step + place * (self.tiles.shape[2] + _GAP)
        return left, _TITLE + row * self._line + _LABEL


def tile_figure(
    title: str, sections: Sequence[Section], room: int = 0, least_width: int = 0
) -> Figure:
    """A sheet of sections, one below the other.

    Args:
        title: above the sheet.
        sections: at least one.
        room: dots left empty below the title, for the caller to draw in.
        least_width: dots that the sheet has at least.

    Returns:
        The figure; every pixel of a tile is one of the picture.
    """
    # A bold letter of the title takes 10 dots, one of a section's title 8.
    texts = [10 * len(title), *(8 * len(section.title) for section in sections)]
    width = max(least_width, *texts, *(section.width for section in sections)) + 2 * _EDGE
    height = _HEAD + room + sum(section.height for section in sections) + _EDGE
    figure = new_figure(width / DPI, height / DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    canvas, top = np.full((height, width, 3), 255, np.uint8), _HEAD + room
    axes.text(width / 2, _HEAD / 2, title, fontsize=11, weight="bold", ha="center", va="center")
    for section in sections:
        _draw(axes, canvas, section, top)
        top += section.height
    axes.imshow(canvas, interpolation="nearest", extent=(0, width, height, 0))
    axes.set_axis_off()
    return figure


def fitted(tiles: np.ndarray, side: int) -> np.ndarray:
    """Pictures brought near to a size: pixels repeated a whole number of times, or averaged.

    Args:
        tiles: uint8 (n, h, w, c), or float.
        side: the longer side in dots; enlarged ones stay below it.

    Returns:
        The same type, (n, height, width, c).
    """
    height, width = tiles.shape[1:3]
    longest = max(height, width)
    if longest <= side:
        return tiles.repeat(side // longest, axis=1).repeat(side // longest, axis=2)
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    small = [cv2.resize(tile, size, interpolation=cv2.INTER_AREA) for tile in tiles]
    return np.reshape(small, (len(tiles), size[1], size[0], tiles.shape[3]))


def _draw(axes: Axes, canvas: np.ndarray, section: Section, top: int) -> None:
    axes.text(_EDGE, top + _TITLE / 2, section.title, fontsize=9, va="center")
    height, width = section.tiles.shape[1:3]
    for index, (tile, label) in enumerate(zip(section.tiles, section.labels, strict=True)):
        left, down = section.place(index)
        x, y = _EDGE + left, top + down
        canvas[y : y + height, x : x + width] = tile
        axes.text(x, y - 3, label, fontsize=6.5, color="#505050", va="bottom")
