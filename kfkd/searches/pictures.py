"""A search as a picture: scores in the order of the trials, and against each varied setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.figures import PREDICTED, REFERENCE, TRUTH, new_figure, plain_axes
from kfkd.searches.results import Search
from kfkd.searches.scores import SHARES
from kfkd.searches.text import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS, _FAR = 4, 1.15
_SHORT, _LONG, _LINES = 5, 20, 3  # letters of labels that stand upright, or aslant; else lines
_PLAIN = "#606060"


def trials_picture(found: Search) -> Figure:
    """A panel for the scores in order, then one for each varied setting.

    Args:
        found: with at least one finished trial.

    Returns:
        The figure; scores far above the mean face's stand at the upper edge.
    """
    varied = [f for f in found.facts["space"] if len(_drawn(found, f["name"])) > 1]
    rows = ceil(len(varied) / _COLUMNS)
    heights = [3.4, *[2.6] * rows]
    for number, facts in enumerate(varied):
        heights[1 + number // _COLUMNS] = max(
            heights[1 + number // _COLUMNS], _height(found, facts)
        )
    figure = new_figure(3.1 * _COLUMNS, sum(heights), layout="constrained")
    grid = figure.add_gridspec(rows + 1, _COLUMNS, height_ratios=heights)
    _draw_order(figure.add_subplot(grid[0, :]), found)
    for number, facts in enumerate(varied):
        axes = figure.add_subplot(grid[1 + number // _COLUMNS, number % _COLUMNS])
        _draw_setting(axes, found, facts)
    facts = found.facts
    title = f"{facts['model']}: {len(found.trials)} trials, {facts['tuner']}"
    figure.suptitle(title, fontsize=12, weight="bold")
    return figure


def _drawn(found: Search, name: str) -> set[Any]:
    return {row["values"][name] for row in found.ranked if name in row["values"]}


def _scores(found: Search, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Scores for drawing, per cent where they are shares, none beyond the upper edge."""
    factor = 100 if found.facts["objective"] in SHARES else 1
    return factor * np.minimum([row["score"] for row in rows], _edge(found))


def _edge(found: Search) -> float:
    """The largest score drawn as it is: a little above the mean face's, if any is below that."""
    scores, faces = zip(*((r["score"], r["mean_face"]) for r in found.ranked), strict=True)
    known = [face for face in faces if face is not None]
    bend = max(known, default=max(scores)) * _FAR
    return min(max(scores), bend) if min(scores) < bend else max(scores)


def _draw_order(axes: Axes, found: Search) -> None:
    rows = [row for row in found.trials if row["status"] == "finished"]
    numbers, scores = [int(row["trial"]) + 1 for row in rows], _scores(found, rows)
    axes.plot(numbers, scores, "o", color=_PLAIN, ms=5, label="trial")
    best = list(accumulate(scores, min))
    axes.step(numbers, best, where="post", color=TRUTH, label="best so far")
    face, unit = rows[0]["mean_face"], "%" if found.facts["objective"] in SHARES else "px"
    if face is not None:
        face *= 100 if unit == "%" else 1
        axes.axhline(face, color=REFERENCE, linestyle="--", label="mean face")
    if failed := [int(row["trial"]) + 1 for row in found.trials if row["status"] == "failed"]:
        edge = axes.get_xaxis_transform()
        style: dict[str, Any] = {"color": PREDICTED, "transform": edge, "label": "failed"}
        axes.plot(failed, [0.97] * len(failed), "x", **style)
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{found.facts['objective']} in {unit}")
    axes.locator_params(axis="x", integer=True)
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    plain_axes(axes)


def _known(found: Search, facts: Mapping[str, Any]) -> list[Any]:
    """The values that a setting's ticks stand for; [] where its axis is one of numbers."""
    drawn = _drawn(found, facts["name"])
    many = facts["kind"] == "Int" and len(drawn) > _COLUMNS**2
    if facts["kind"] == "Float" or many:
        return []
    return list(dict.fromkeys([*facts.get("values", ()), *sorted(drawn)]))


def _height(found: Search, facts: Mapping[str, Any]) -> float:
    """Inches that a setting's panel needs with its labels."""
    letters = max((len(value_text(value)) for value in _known(found, facts)), default=0)
    if letters > _LONG:
        return 2.2 + 0.075 * _line(letters)
    return 2.6 if letters <= _SHORT else 2.3 + 0.04 * letters


def _line(letters: int) -> int:
    """How many letters a line has where labels of so many stand on end."""
    return min(max(_LONG, letters // _LINES + 8), 48)


def _draw_setting(axes: Axes, found: Search, facts: Mapping[str, Any]) -> None:
    rows = [row for row in found.ranked if facts["name"] in row["values"]]
    values, scores = [row["values"][facts["name"]] for row in rows], _scores(found, rows)
    places = values
    if known := _known(found, facts):
        places = [known.index(value) for value in values]
        _label(axes, [value_text(value) for value in known])
    else:
        axes.set_xscale(facts.get("sampling") or "linear")
    axes.plot(places, scores, "o", color=_PLAIN, ms=4)
    axes.plot(places[:1], scores[:1], "o", color=TRUTH, ms=7)
    axes.set_title(facts["name"], fontsize=10)
    plain_axes(axes)


def _label(axes: Axes, names: Sequence[str]) -> None:
    """Ticks with whole names: upright where they are short, else aslant, or on end in lines."""
    letters = max(map(len, names))
    style: dict[str, Any] = {}
    if letters > _LONG:
        line = _line(letters)
        names = ["\n".join(wrap(n, line, max_lines=_LINES, placeholder=" …")) for n in names]
        style = {"rotation": 90}
    elif letters > _SHORT:
        style = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, fontsize=8, **style)
    axes.set_xlim(-0.5, len(names) - 0.5)
