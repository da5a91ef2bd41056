"""Charts of errors: by keypoint and source, by properties of the faces, and their distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.figures import PREDICTED, REFERENCE, SOURCE_COLOURS, new_figure, plain_axes
from kfkd.faces import FaceSet
from kfkd.statistics import sources_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kfkd.analysis.measures import Errors

_UNITS = {
    "size": "distance of the eyes, px",
    "roll": "turned in the image, °",
    "yaw": "turned aside: nose off the middle / eyes",
    "sharpness": "sharpness: variance of the Laplacian",
    "brightness": "brightness: mean grey level",
    "contrast": "contrast: deviation of grey levels",
    "off_centre": "face off the image's middle, px",
}


def keypoint_bars(
    keypoints: Mapping[str, Mapping[str, Mapping[str, float | None]]], title: str
) -> Figure:
    """RMSE of each keypoint, a bar for each source, the mean face of the source as a line.

    Args:
        keypoints: of `kfkd.analysis.measures.by_keypoint`.
        title: above the chart.
    """
    sources = list(dict.fromkeys(s for row in keypoints.values() for s in row))
    lines = sum(max(len(row), 1) for row in keypoints.values())
    figure = new_figure(8.5, 1.5 + 0.1 * len(keypoints) + 0.22 * lines, layout="constrained")
    axes, ticks, top = figure.add_subplot(), [], 0.0
    for row in keypoints.values():
        for number, (source, cell) in enumerate(row.items()):
            _bar(axes, top + number, source, cell, sources.index(source))
        ticks.append(top + (max(len(row), 1) - 1) / 2)
        top += max(len(row), 1) + 0.5
    axes.set_yticks(ticks, [name.replace("_", " ") for name in keypoints])
    axes.set_ylim(top - 0.8, -0.8)
    axes.margins(x=0.06)
    axes.set_xlim(left=0)
    axes.set_xlabel("RMSE in pixels")
    axes.set_title(title, fontsize=11, weight="bold")
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    _legend(figure, axes)
    return figure


def _bar(
    axes: Axes, place: float, source: str, cell: Mapping[str, float | None], number: int
) -> None:
    colour = SOURCE_COLOURS[number % len(SOURCE_COLOURS)]
    bar = axes.barh(place, cell["rmse"] or 0, 0.86, color=colour, label=source or "no source")
    axes.bar_label(bar, [f"{cell['rmse'] or 0:.2f}"], padding=3, fontsize=8)
    style: dict[str, Any] = {"color": "black", "lw": 1.4, "label": "mean face of the source"}
    if cell["mean_face"] is not None:
        axes.plot([cell["mean_face"]] * 2, [place - 0.43, place + 0.43], **style)


def property_bars(bins: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> Figure:
    """RMSE in each quarter of the faces, a panel for each property.

    Args:
        bins: of `kfkd.analysis.bins.quarters`, by property.
        title: above the panels.
    """
    columns = min(4, max(len(bins), 1))
    lines = -(-len(bins) // columns)
    figure = new_figure(3.5 * columns, 0.9 + 2.9 * lines, layout="constrained")
    panels = figure.subplots(max(lines, 1), columns, squeeze=False, sharey=True).ravel()
    highest = max((row["rmse"] or 0 for rows in bins.values() for row in rows), default=1)
    for axes, (name, rows) in zip(panels, bins.items(), strict=False):
        _quarters(axes, rows, highest)
        axes.set_title(_UNITS[name], fontsize=9)
    for axes in panels[len(bins) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("RMSE in pixels")
    _legend(figure, panels[0])
    figure.suptitle(title, weight="bold", fontsize=11)
    return figure


def _quarters(axes: Axes, rows: Sequence[Mapping[str, Any]], highest: float) -> None:
    place = np.arange(len(rows))
    label = "a quarter of the faces: RMSE, and share of the squared error"
    bars = axes.bar(place, [row["rmse"] or 0 for row in rows], 0.8, color=PREDICTED, label=label)
    texts = [f"{row['rmse'] or 0:.2f}\n{row['share'] or 0:.0%}" for row in rows]
    axes.bar_label(bars, texts, padding=2, fontsize=8)
    dots: dict[str, Any] = {"color": "black", "ms": 4, "label": "its median absolute error"}
    axes.plot(place, [row["median"] for row in rows], "o", **dots)
    top = max(abs(row["high"]) for row in rows)
    digits = 0 if top >= 10 else 1 if top >= 1 else 2
    bounds = [f"{row['low']:.{digits}f}–{row['high']:.{digits}f}" for row in rows]
    axes.set_xticks(place, bounds, fontsize=8)
    axes.set_ylim(0, 1.22 * highest)
    plain_axes(axes)
    axes.grid(visible=False, axis="x")


def error_curves(errors: Errors, faces: FaceSet, title: str) -> Figure:
    """Which share of the coordinates is off by at most x, and what the worst images hold.

    Args:
        errors: of the faces.
        faces: give their sources.
        title: above the panels.
    """
    figure = new_figure(10.5, 4.4, layout="constrained")
    left, right = figure.subplots(1, 2)
    curves: dict[str, tuple[np.ndarray, dict[str, Any]]]
    curves = {"mean face": (errors.flat, {"color": REFERENCE, "ls": "--"})}
    names = sources_of(faces)
    for number, name in enumerate(names if len(names) > 1 else ()):
        colour = SOURCE_COLOURS[number % len(SOURCE_COLOURS)]
        curves[name] = (errors.squares[faces.source == name], {"color": colour})
    curves["all"] = (errors.squares, {"color": PREDICTED, "lw": 2})
    for name, (squares, style) in curves.items():
        values = np.sort(np.sqrt(squares[~np.isnan(squares)]))
        left.plot(values, 100 * np.arange(1, len(values) + 1) / len(values), label=name, **style)
    _distances(left)
    _lorenz(right, errors.squares)
    figure.suptitle(f"{title}: errors of {len(faces):,} faces", fontsize=12, weight="bold")
    return figure


def _distances(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(left=0.05)
    axes.set_ylim(0, 101)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("absolute error of a coordinate in pixels")
    axes.set_ylabel("coordinates with at most this error, %")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    plain_axes(axes)


def _lorenz(axes: Axes, squares: np.ndarray) -> None:
    known = squares[~np.isnan(squares).all(axis=(1, 2))]
    sums = np.sort(np.nansum(known, axis=(1, 2)))[::-1]
    images = 100 * np.arange(len(sums) + 1) / len(sums)
    held = 100 * np.concatenate([[0], np.cumsum(sums)]) / max(sums.sum(), 1e-12)
    axes.plot(images, held, color=PREDICTED, lw=2)
    for part in (1, 5, 10):
        count = int(np.ceil(part * len(sums) / 100))
        axes.plot(images[count], held[count], "o", color="black", ms=4)
        note = f"worst {part}%: {held[count]:.0f}%"
        axes.annotate(note, (images[count], held[count]), (8, -4), textcoords="offset points")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 101)
    axes.set_xlabel("images, the worst first, %")
    axes.set_ylabel("share of the squared error, %")
    plain_axes(axes)


def _legend(figure: Figure, axes: Axes) -> None:
    shown = zip(*axes.get_legend_handles_labels(), strict=True)
    named = {label: handle for handle, label in shown}
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": 4, "frameon": False}
    figure.legend(list(named.values()), list(named), fontsize=8, **place)
