"""A comparison as a picture: each mix's seeds, mean and spread beside the control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfkd.comparisons.significance import Comparison, judged
from kfkd.drawing.figures import PREDICTED, REFERENCE, TRUTH, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLAIN = ("mean ± standard deviation", "o", "#303030")
_LOOKS = {
    "better": ("significantly better", "<", TRUTH),
    "worse": ("significantly worse", ">", PREDICTED),
}
_FAR = 1.3
_WIDTH = 34


def comparison_picture(found: Comparison) -> Figure:
    """A panel for dense and for sparse: a row for each mix, a dot for each seed.

    Args:
        found: with at least one training.

    Returns:
        The figure; published values far beyond ours stand at the edge with their number.
    """
    panels = [m for m in found.metrics if m != "kaggle_rmse"] or list(found.metrics)
    mixes = list(found.results)
    figure = new_figure(2.4 + 5.0 * len(panels), 2.2 + 0.36 * len(mixes), layout="constrained")
    drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, metric in zip(drawn, panels, strict=True):
        _panel(axes, found, metric)
    drawn[0].set_yticks(range(len(mixes)), [_short(mix) for mix in mixes], fontsize=9)
    drawn[0].set_ylim(len(mixes) - 0.5, -0.5)
    shown = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in drawn]
    named = {label: handle for pairs in shown for handle, label in pairs}
    style: dict[str, Any] = {
        "loc": "outside lower center",
        "ncols": 3,
        "frameon": False,
        "fontsize": 8,
    }
    figure.legend(list(named.values()), list(named), **style)
    seeds = found.facts["seeds"]
    title = f"{found.facts['model']} by augmentation mix, seeds {', '.join(map(str, seeds))}"
    figure.suptitle(title, fontsize=12, weight="bold")
    return figure


def _panel(axes: Axes, found: Comparison, metric: str) -> None:
    far = _FAR * max(row["rmse"][metric] for row in found.runs)
    mean = found.results[found.control][metric]["mean"]
    axes.axvline(mean, color=REFERENCE, linestyle="--", label=f"mean of {_short(found.control)}")
    for place, (mix, scores) in enumerate(found.results.items()):
        seeds = [row["rmse"][metric] for row in found.runs if row["mix"] == mix]
        axes.plot(seeds, [place + 0.24] * len(seeds), "o", color="#9a9a9a", ms=3, label="each seed")
        _draw_mean(axes, place, scores[metric])
        if metric in found.published.get(mix, {}):
            _draw_published(axes, place, found.published[mix][metric], far)
    face = found.mean_face.get(metric)
    axes.set_title(metric if face is None else f"{metric} (mean face {face:.2f} px)", fontsize=11)
    axes.set_xlabel("RMSE of the held-out images in pixels")
    plain_axes(axes)


def _draw_mean(axes: Axes, place: int, score: Mapping[str, Any]) -> None:
    label, marker, colour = _LOOKS.get(judged(score) or "", _PLAIN)
    style: dict[str, Any] = {"fmt": marker, "color": colour, "ms": 6, "capsize": 3, "label": label}
    axes.errorbar(score["mean"], place, xerr=score["std"], **style)


def _draw_published(axes: Axes, place: int, value: float, far: float) -> None:
    """The study's value, or where it lies far beyond ours the panel's edge with its number."""
    style: dict[str, Any] = {
        "mfc": "none",
        "mec": "black",
        "ms": 6,
        "ls": "none",
        "label": "the study's value",
    }
    if value <= far:
        axes.plot(value, place, "D", **style)
        return
    across = axes.get_yaxis_transform()
    axes.plot(0.97, place, "D", transform=across, **style)
    note: dict[str, Any] = {
        "textcoords": "offset points",
        "ha": "right",
        "va": "center",
        "fontsize": 8,
    }
    axes.annotate(f"{value:.1f} →", (0.97, place), (-8, 0), xycoords=across, **note)


def _short(mix: str) -> str:
    return mix if len(mix) <= _WIDTH else f"{mix[: _WIDTH - 1]}…"
