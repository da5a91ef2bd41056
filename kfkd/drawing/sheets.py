"""Sheets of faces with their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.figures import DPI, PREDICTED, TRUTH, new_figure
from kfkd.errors import KfkdError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL, _GAP, _LINE, _HEAD, _FOOT = 192, 10, 17, 36, 42
"""Lengths on a sheet in dots: a face (twice Kaggle's 96 pixels, so that they stay crisp), the space
between faces, a line of a face's title, the sheet's title, the legend."""

_JOINED = "#ffd21f"
"""Colour of the line from a label to its prediction."""


def face_sheet(
    images: np.ndarray,
    truth: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    title: str | None = None,
    names: tuple[str, str] = ("truth", "prediction"),
    joined: bool = False,
) -> Figure:
    """A sheet of faces with their keypoints, labels in blue and predictions in red.

    Args:
        images: uint8 (n, h, w, 1 or 3), at least one.
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels, NaN = not predicted.
        titles: a title for each face, of one or more lines.
        columns: faces in a row.
        title: above the sheet.
        names: what the legend calls the blue and the red points.
        joined: draw a line from each label to its prediction.

    Returns:
        The figure.

    Raises:
        KfkdError: when the shapes do not fit together, or there is no face.

    Example:
        >>> figure = face_sheet(np.zeros((3, 96, 96, 1), np.uint8), np.full((3, 15, 2), 40.0))
    """
    _check_sheet(images, truth, predicted, titles)
    lines = max((t.count("\n") + 1 for t in titles), default=0) if titles is not None else 0
    sheet = _Layout(images.shape, max(1, min(columns, len(images))), lines, title or "")
    figure = new_figure(sheet.width / DPI, sheet.height / DPI)
    longest = max((len(line) for t in titles or () for line in t.split("\n")), default=0)
    # 28 letters of 8 points are as wide as a face.
    letters = 8 * min(1, 28 / max(longest, 1))
    for i, image in enumerate(images):
        axes = figure.add_axes(sheet.place(i))
        label, guess = (None if points is None else points[i] for points in (truth, predicted))
        draw_face(axes, image, label, guess, joined)
        if titles is not None:
            axes.set_title(titles[i], fontsize=letters, pad=2)
    if title:
        place: dict[str, Any] = {"ha": "center", "va": "center"}
        top = 1 - _HEAD / 2 / sheet.height
        figure.text(0.5, top, title, fontsize=11, weight="bold", **place)
    shown = (truth is not None, predicted is not None)
    _legend_line(figure, _FOOT / 2 / sheet.height, shown, names)
    return figure


@dataclass(frozen=True)
class _Layout:
    """Where the faces of a sheet lie, in dots."""

    shape: tuple[int, ...]
    columns: int
    lines: int
    title: str

    @property
    def cell(self) -> int:
        return round(_CELL * self.shape[1] / self.shape[2])

    @property
    def step(self) -> int:
        return self.cell + _LINE * self.lines + _GAP

    @property
    def faces_width(self) -> int:
        return self.columns * (_CELL + _GAP) - _GAP

    @property
    def width(self) -> int:
        # The title needs about 10 dots a letter, so a sheet of few faces is made wider for it.
        return max(self.faces_width + 2 * _GAP, 260, 10 * len(self.title) + 20)

    @property
    def height(self) -> int:
        return (_HEAD if self.title else 0) + -(-self.shape[0] // self.columns) * self.step + _FOOT

    def place(self, index: int) -> tuple[float, float, float, float]:
        row, column = divmod(index, self.columns)
        left = (self.width - self.faces_width) // 2 + column * (_CELL + _GAP)
        bottom = self.height - (_HEAD if self.title else 0) - (row + 1) * self.step
        width, height = self.width, self.height
        return left / width, bottom / height, _CELL / width, self.cell / height


def draw_face(
    axes: Axes,
    image: np.ndarray,
    truth: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    joined: bool = False,
) -> None:
    """Draws one face and its keypoints on `axes`.

    Args:
        axes: where.
        image: (h, w, 1 or 3), values 0 to 255.
        truth: (k, 2) in pixels, drawn blue.
        predicted: (k, 2) in pixels, drawn red.
        joined: draw a line from each label to its prediction.
    """
    height, width, channels = image.shape
    picture = image[..., 0] if channels == 1 else image
    # Photographs larger than the cell would break up when drawn by the nearest pixel.
    smooth = "nearest" if width <= _CELL else "antialiased"
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation=smooth)
    if joined and truth is not None and predicted is not None:
        ends = np.stack([truth, predicted])
        axes.plot(ends[..., 0], ends[..., 1], color=_JOINED, lw=1.2)
    for points, colour in ((truth, TRUTH), (predicted, PREDICTED)):
        if points is not None:
            size = 3.6 if len(points) <= 20 else 2.2
            marker: dict[str, Any] = {"color": colour, "markersize": size, "markeredgewidth": 0.5}
            axes.plot(points[:, 0], points[:, 1], "o", markeredgecolor="white", **marker)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_axis_off()


def _check_sheet(
    images: np.ndarray,
    truth: np.ndarray | None,
    predicted: np.ndarray | None,
    titles: Sequence[str] | None,
) -> None:
    if images.ndim != 4 or not len(images) or images.shape[3] not in (1, 3):
        raise KfkdError(
            f"face_sheet wants images (n, h, w, 1 or 3), n >= 1. Received: {images.shape}"
        )
    for name, points in (("truth", truth), ("predicted", predicted)):
        if points is not None and (
            points.ndim != 3 or len(points) != len(images) or points.shape[2] != 2
        ):
            raise KfkdError(
                f"face_sheet wants {name} as ({len(images)}, k, 2). Received: {points.shape}"
            )
    if titles is not None and len(titles) != len(images):
        raise KfkdError(f"face_sheet wants {len(images)} titles. Received: {len(titles)}")


def _legend_line(
    figure: Figure, y: float, shown: tuple[bool, bool], names: tuple[str, str]
) -> None:
    from matplotlib.lines import Line2D

    dots = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=name)
        for there, colour, name in zip(shown, (TRUTH, PREDICTED), names, strict=True)
        if there
    ]
    if dots:
        place: dict[str, Any] = {"loc": "center", "bbox_to_anchor": (0.5, y), "ncols": 2}
        figure.legend(handles=dots, frameon=False, fontsize=9, **place)
