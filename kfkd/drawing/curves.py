"""Errors as curves and bars: how a training went, and which keypoints are hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.figures import PREDICTED, REFERENCE, TRUTH, new_figure, plain_axes
from kfkd.errors import KfkdError
from kfkd.metrics import predicted_points, rmse
from kfkd.skeletons import Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def loss_curves(
    history: Mapping[str, Sequence[Mapping[str, Any]]],
    title: str | None = None,
    mean_face: Mapping[str, float] | None = None,
) -> Figure:
    """Train and validation RMSE by epoch, a panel for each subset.

    Args:
        history: for each subset its epochs in order, as rows with the keys epoch, rmse, val_rmse
            (pixels) and learning_rate; a missing key or None is left out.
        title: above the panels.
        mean_face: validation RMSE of the mean face by subset, in pixels.

    Returns:
        The figure.

    Raises:
        KfkdError: when there is no subset.

    Example:
        >>> rows = [{"epoch": i, "rmse": 9 / i, "val_rmse": 9.5 / i} for i in range(1, 9)]
        >>> figure = loss_curves({"dense": rows}, mean_face={"dense": 4.2})
    """
    if not history:
        raise KfkdError("loss_curves wants at least one subset. Received: an empty history")
    figure = new_figure(max(6.2, 5.4 * len(history)), 4.6, layout="constrained")
    panels = figure.subplots(1, len(history), squeeze=False)[0]
    for axes, (subset, rows) in zip(panels, history.items(), strict=True):
        _curve_panel(axes, rows, (mean_face or {}).get(subset))
        axes.set_title(subset, fontsize=11)
    panels[0].set_ylabel("RMSE in pixels")
    if title:
        figure.suptitle(title, fontsize=12, weight="bold")
    return figure


def keypoint_error_bars(
    truth: np.ndarray, predicted: np.ndarray, mean_face: np.ndarray, skeleton: Skeleton
) -> Figure:
    """RMSE of each predicted keypoint beside the mean face's, both over the values predicted.

    Args:
        truth: (n, k, 2) in pixels, NaN = not labelled.
        predicted: (n, k, 2) in pixels, NaN = not predicted.
        mean_face: (k, 2) in pixels, the mean of the training labels.
        skeleton: names the k keypoints.

    Returns:
        The figure.
    """
    labelled = ~np.isnan(truth).all(axis=(0, 2))
    truth = np.where(np.isnan(predicted), np.nan, truth)
    constant = np.broadcast_to(mean_face, truth.shape)
    points = predicted_points(predicted)
    place = np.arange(len(points))
    figure = new_figure(8.5, 1.6 + 0.34 * len(points), layout="constrained")
    axes = figure.add_subplot()
    for guess, shift, colour, name in (
        (predicted, -0.2, PREDICTED, "prediction"),
        (constant, 0.2, "#c4c4c4", "mean face"),
    ):
        errors = [rmse(truth[:, i], guess[:, i]) for i in points]
        bars = axes.barh(place + shift, np.nan_to_num(errors), 0.38, color=colour, label=name)
        texts = [
            f"{error:.2f}" if not np.isnan(error) else "none" if known else "not labelled"
            for error, known in zip(errors, labelled[points], strict=True)
        ]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
    axes.set_yticks(place, [skeleton.points[i].replace("_", " ") for i in points])
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlabel("RMSE in pixels")
    axes.set_title(
        f"Error of each keypoint; all of them {rmse(truth, predicted):.2f} px, mean face "
        f"{rmse(truth, constant):.2f} px",
        fontsize=11,
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    plain_axes(axes)
    return figure


def _curve_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], mean_face: float | None) -> None:
    epochs, train, validation, rates = (
        np.array([np.nan if row.get(key) is None else row[key] for row in rows], float)
        for key in ("epoch", "rmse", "val_rmse", "learning_rate")
    )
    for values, colour, name in ((train, TRUTH, "train"), (validation, PREDICTED, "validation")):
        known = ~np.isnan(values)
        if not known.any():
            continue
        # A single value has no line to draw; a dot shows it.
        dot = "o" if known.sum() == 1 else None
        axes.plot(epochs[known], values[known], color=colour, lw=1.4, marker=dot, label=name)
    if not np.isnan(validation).all():
        best = int(np.nanargmin(validation))
        name = f"best: {validation[best]:.2f} px, epoch {epochs[best]:.0f}"
        axes.plot(epochs[best], validation[best], "*", color="black", markersize=9, label=name)
    if mean_face is not None:
        name = f"mean face: {mean_face:.2f} px"
        axes.axhline(mean_face, color=REFERENCE, linestyle="--", label=name)
    for i, epoch in enumerate(_rate_drops(epochs, rates)):
        name = "_hidden" if i else "learning rate lowered"
        axes.axvline(epoch, color="#d0d0d0", linewidth=1, zorder=0, label=name)
    _value_axis(axes, np.concatenate([train, validation]))
    axes.set_xlabel("epoch")
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    axes.locator_params(axis="x", integer=True)
    if axes.get_legend_handles_labels()[0]:
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        axes.legend(fontsize=8, frameon=False, ncols=3, **below)
    plain_axes(axes)


def _value_axis(axes: Axes, values: np.ndarray) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    values = values[np.isfinite(values) & (values > 0)]
    if len(values) and values.max() > 8 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)


def _rate_drops(epochs: np.ndarray, rates: np.ndarray) -> np.ndarray:
    falls = rates[1:] < rates[:-1] * (1 - 1e-6)
    # A rate that falls nearly every epoch is a smooth schedule; lines everywhere would say nothing.
    return epochs[1:][falls] if falls.sum() <= max(3, len(rates) / 4) else epochs[:0]
