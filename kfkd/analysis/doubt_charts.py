"""A model's doubt as charts: against its error, as probabilities, and for leaving points out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.doubts.scoring import DoubtScores
from kfkd.drawing.figures import PREDICTED, REFERENCE, TRUTH, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def doubt_curves(doubt: DoubtScores, sigma: np.ndarray, far: np.ndarray, title: str) -> Figure:
    """Calibrated doubt against error, confidence against truth, and the error by coverage.

    Args:
        doubt: the scores.
        sigma: (p,), calibrated doubt of each point in pixels.
        far: (p,), its distance from the label in pixels.
        title: above the panels.
    """
    figure = new_figure(13, 4.5, layout="constrained")
    against, told, coverage = figure.subplots(1, 3)
    _against(against, doubt)
    _told(told, doubt)
    _coverage(coverage, sigma, far)
    fitted = "calibrated on these very points"
    figure.suptitle(f"{title}: its own doubt, {fitted}", fontsize=12, weight="bold")
    return figure


_TENTHS: dict[str, Any] = {"color": PREDICTED, "marker": "o", "ms": 5, "lw": 1.2}
_IDEAL: dict[str, Any] = {"color": REFERENCE, "ls": "--", "lw": 1.2}


def _against(axes: Axes, doubt: DoubtScores) -> None:
    x = [row["sigma"] for row in doubt.bins]
    y = [row["rmse"] for row in doubt.bins]
    top = 1.08 * max(*x, *y)
    axes.plot([0, top], [0, top], label="as doubtful as wrong", **_IDEAL)
    axes.plot(x, y, label="a tenth of the points", **_TENTHS)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_xlabel("calibrated doubt in pixels")
    axes.set_ylabel("RMSE in pixels")
    rank = doubt.ranks["calibrated"]
    axes.set_title("" if rank is None else f"rank correlation {rank:.2f}", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    plain_axes(axes)


def _told(axes: Axes, doubt: DoubtScores) -> None:
    axes.plot([0, 100], [0, 100], label="as told", **_IDEAL)
    x = [100 * row["confidence"] for row in doubt.bins]
    y = [100 * row["found"] for row in doubt.bins]
    axes.plot(x, y, label="a tenth of the points", **_TENTHS)
    axes.set_xlim(0, 101)
    axes.set_ylim(0, 101)
    axes.set_xlabel(f"confidence: told to lie within {doubt.within:g} px, %")
    axes.set_ylabel(f"do lie within {doubt.within:g} px, %")
    model, always = doubt.brier
    axes.set_title(f"Brier score {model:.3f} (one share for all: {always:.3f})", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    plain_axes(axes)


def _coverage(axes: Axes, sigma: np.ndarray, far: np.ndarray) -> None:
    squares, x = np.square(far) / 2, 100 * np.arange(1, len(far) + 1) / len(far)
    whole = float(np.sqrt(squares.mean()))
    axes.axhline(whole, label="left out at random", **_IDEAL)
    for order, colour, name in (
        (np.argsort(sigma, kind="stable"), PREDICTED, "left out by doubt"),
        (np.argsort(far, kind="stable"), TRUTH, "left out by the error itself"),
    ):
        means = np.cumsum(squares[order]) / np.arange(1, len(far) + 1)
        axes.plot(x, np.sqrt(means), color=colour, lw=1.6, label=name)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.35 * whole)
    axes.set_xlabel("points that are kept, the most certain first, %")
    axes.set_ylabel("RMSE in pixels")
    axes.set_title(f"all points: {whole:.2f} px", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    plain_axes(axes)
