"""Charts of a set of faces: what is missing, where the keypoints lie, how bright the images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.figures import REFERENCE, SOURCE_COLOURS, TRUTH, new_figure, plain_axes
from kfkd.faces import FaceSet
from kfkd.metrics import mean_face
from kfkd.statistics import brightness_contrast, grey_histogram, skewness, sources_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SCATTER = 3000
"""Rows of a source whose points are drawn; more would only make the clouds solid."""


def missing_bars(faces: FaceSet) -> Figure:
    """How many rows lack each keypoint, stacked by label source."""
    lacking = np.asarray(~faces.labelled.all(axis=2))
    names = [point.replace("_", " ") for point in faces.skeleton.points]
    figure = new_figure(9, 1.7 + 0.27 * len(names), layout="constrained")
    axes, place, start = figure.add_subplot(), np.arange(len(names)), np.zeros(len(names))
    for name, colour in _colours(faces).items():
        rows = faces.source == name
        label = f"{name or 'no source'}, {rows.sum():,} rows"
        bars = axes.barh(place, lacking[rows].sum(axis=0), 0.7, start, color=colour, label=label)
        start = start + lacking[rows].sum(axis=0)
    texts = [f"{n:,.0f} ({n / len(faces):.1%})" for n in start]
    axes.bar_label(bars, texts, padding=4, fontsize=8)
    axes.set_yticks(place, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, max(1.18 * start.max(), 1))
    axes.set_xlabel("rows without a label")
    axes.set_title(f"Missing labels in {len(faces):,} rows", weight="bold")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    return figure


def position_clouds(faces: FaceSet, seed: int = 0) -> Figure:
    """All keypoints on the mean image of each label source, with the mean face as rings."""
    sources = sources_of(faces)
    figure = new_figure(4.6 * len(sources) + 2.4, 5.2, layout="constrained")
    panels = figure.subplots(1, len(sources), squeeze=False)[0]
    for axes, name in zip(panels, sources, strict=True):
        picked = faces[faces.source == name]
        _mean_image(axes, picked)
        _clouds(axes, picked, np.random.default_rng(seed))
        axes.set_title(f"{name or 'no source'}: {len(picked):,} rows", fontsize=10)
    if faces.labelled.any() and len(faces.skeleton) <= 20:
        names = [point.replace("_", " ") for point in faces.skeleton.points]
        figure.legend(handles=_dots(names), loc="outside right center", fontsize=8, frameon=False)
    figure.suptitle("Keypoints on the mean image (ring: their mean)", weight="bold")
    return figure


def distributions(faces: FaceSet) -> Figure:
    """A histogram of every coordinate, by label source, each on its own scale."""
    values = faces.keypoints.reshape(len(faces), -1)
    rows = -(-values.shape[1] // 6)
    height = 1.2 + 1.65 * rows
    figure = new_figure(14, height)
    panels = figure.subplots(rows, 6, squeeze=False).ravel()
    # By hand, as a constrained layout of so many panels takes seconds.
    edges = {"top": 1 - 0.72 / height, "bottom": 0.65 / height, "left": 0.01, "right": 0.99}
    figure.subplots_adjust(**edges, hspace=0.55, wspace=0.06)
    for axes, name, column in zip(panels, faces.skeleton.columns, values.T, strict=False):
        axes.set_title(f"{name}\nskew {skewness(column):.2f}", fontsize=7.5, pad=3)
        _histogram(axes, faces, column)
    for axes in panels[values.shape[1] :]:
        axes.set_visible(False)
    handles = _patches(_colours(faces))
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 0)}
    figure.legend(handles=handles, ncols=4, frameon=False, **place)
    title = "Every coordinate in pixels (ticks: the outermost 0.6 % of the labels)"
    figure.suptitle(title, weight="bold", y=1 - 0.2 / height)
    return figure


def _histogram(axes: Axes, faces: FaceSet, column: np.ndarray) -> None:
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    known = column[~np.isnan(column)]
    if not len(known):
        return
    edges = np.linspace(known.min() - 0.5, known.max() + 0.5, 41)
    for source, colour in _colours(faces).items():
        own = column[(faces.source == source) & ~np.isnan(column)]
        axes.hist(own, edges.tolist(), color=colour, alpha=0.55, histtype="stepfilled")
    # A bar one row high cannot be seen; ticks show the rows that make a column skewed.
    low, high = np.percentile(known, [0.3, 99.7])
    strays = known[(known < low) | (known > high)]
    axes.plot(strays, np.zeros(len(strays)), "|", color="black", ms=7, mew=0.7, clip_on=False)


def brightness_histograms(faces: FaceSet) -> Figure:
    """Brightness and contrast of the images, and how often each grey level occurs."""
    figure = new_figure(12.5, 3.7, layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, values, name in zip(
        panels,
        brightness_contrast(faces.images),
        ("brightness (mean)", "contrast (std)"),
        strict=False,
    ):
        axes.hist(values, 40, color=TRUTH)
        axes.axvline(np.median(values), color="black", linestyle="--")
        axes.set_title(f"{name}: median {np.median(values):.0f}", fontsize=10)
        axes.set_ylabel("images")
    panels[2].fill_between(
        np.arange(256), 100 * grey_histogram(faces.images) / faces.images.size, color=REFERENCE
    )
    panels[2].set_title("% of all pixels", fontsize=10)
    panels[2].set_ylim(bottom=0)
    for axes in panels:
        axes.set_xlabel("grey level")
        plain_axes(axes)
    figure.suptitle(f"Brightness of {len(faces):,} images", weight="bold")
    return figure


def _colours(faces: FaceSet) -> dict[str, str]:
    sources = sources_of(faces)
    return {s: SOURCE_COLOURS[i % len(SOURCE_COLOURS)] for i, s in enumerate(sources)}


def _point_colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    if count <= 20:
        # The pale twin of each colour comes last: 15 points need only five of them.
        return [colormaps["tab20"](i) for i in (*range(0, 20, 2), *range(1, 20, 2))][:count]
    return [colormaps["hsv"](i / count) for i in range(count)]


def _mean_image(axes: Axes, faces: FaceSet) -> None:
    image = np.zeros(faces.images.shape[1:])
    for start in range(0, len(faces), 512):
        image += np.asarray(faces.images[start : start + 512]).sum(axis=0, dtype=np.int64)
    axes.imshow(image.mean(axis=2) / len(faces), cmap="gray")
    axes.set_axis_off()


def _clouds(axes: Axes, faces: FaceSet, rng: np.random.Generator) -> None:
    rows = rng.permutation(len(faces))[:_SCATTER]
    height, width = faces.images.shape[1:3]
    for i, colour in enumerate(_point_colours(len(faces.skeleton))):
        points = faces.keypoints[rows, i]
        axes.plot(points[:, 0], points[:, 1], ".", color=colour, markersize=1.6, alpha=0.5)
    for (x, y), colour in zip(
        mean_face(faces.keypoints), _point_colours(len(faces.skeleton)), strict=True
    ):
        ring = {"markersize": 7, "markerfacecolor": colour, "markeredgecolor": "black"}
        axes.plot(x, y, "o", **ring)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _dots(names: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    colours = _point_colours(len(names))
    pairs = zip(names, colours, strict=True)
    return [Line2D([], [], color=c, marker="o", linestyle="", label=n) for n, c in pairs]


def _patches(colours: Mapping[str, str]) -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(color=c, alpha=0.55, label=n or "no source") for n, c in colours.items()]
