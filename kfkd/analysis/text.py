"""An error analysis as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.analysis.bins import PROPERTIES
from kfkd.doubts.scoring import DoubtScores
from kfkd.text import table

if TYPE_CHECKING:
    from kfkd.analysing import Analysis


def as_text(found: Analysis) -> str:
    """The tables of an analysis.

    Args:
        found: of at least one labelled face.
    """
    parts = [_heading(found), _scores(found), _keypoints(found), _bins(found)]
    parts += [_tail(found), _percentiles(found)]
    if found.doubt is not None:
        parts += [_doubt(found.doubt), _doubt_bins(found.doubt), _coverage(found.doubt)]
    else:
        parts.append("The model tells no doubt of its own, or too few points are labelled for it.")
    return "\n\n".join([*parts, _worst(found)])


def _heading(found: Analysis) -> str:
    many = f"{found.scores.images} images, {found.scores.values} labelled values"
    return f"{found.name}: {many}, {found.told}"


def _scores(found: Analysis) -> str:
    scores = found.scores
    columns = (scores.model, scores.mean_face, scores.mean_per_source)
    told = [n for n in scores.model if scores.landmarks is None or n != "kaggle_rmse"]
    header = ("RMSE in px", "model", "mean face", "mean face per source")
    text = table(header, [(name, *(_px(c[name]) for c in columns)) for name in told])
    return text if scores.landmarks is None else f"{scores.landmarks.table()}\n\n{text}"


def _keypoints(found: Analysis) -> str:
    sources = list(dict.fromkeys(s for row in found.keypoints.values() for s in row))
    shares = any("nme" in cell for row in found.keypoints.values() for cell in row.values())
    columns = {"values": "values", "rmse": "px", "mean_face": "mean face"}
    columns |= {"nme": "NME %"} if shares else {}
    header = ["keypoint", *(f"{s}: {told}" for s in sources for told in columns.values())]
    rows = []
    for name, row in found.keypoints.items():
        cells = [_cell(key, row.get(s, {}).get(key)) for s in sources for key in columns]
        rows.append([name, *cells])
    return table(header, rows)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "—"
    return {"values": f"{value:.0f}", "nme": f"{100 * value:.2f}"}.get(key, f"{value:.3f}")


def _bins(found: Analysis) -> str:
    header = ["faces by", "from", "to", "images", "px", "mean face", "median", "of the error"]
    shares = any("nme" in row for rows in found.bins.values() for row in rows)
    cells = []
    for name, rows in found.bins.items():
        for row in rows:
            numbers = [_bound(row["low"]), _bound(row["high"]), str(row["images"])]
            numbers += [_px(row[key]) for key in ("rmse", "mean_face", "median")]
            more = [_cell("nme", row["nme"])] if shares else []
            cells.append([name.replace("_", " "), *numbers, _percent(row["share"]), *more])
    notes = [f"{name.replace('_', ' ')}: {PROPERTIES[name]}" for name in found.bins]
    return "\n".join([table([*header, *(["NME %"] if shares else [])], cells), *notes])


def _bound(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _tail(found: Analysis) -> str:
    header = ("worst images", "images", "of the squared error", "px without them")
    rows = [
        (_percent(row["worst"], 0), row["images"], _percent(row["share"]), _px(row["rmse_without"]))
        for row in found.tail
    ]
    return table(header, rows)


def _percentiles(found: Analysis) -> str:
    header = ("of the coordinates", "are off by at most, px", "mean face per source")
    return table(header, [(k, _px(a), _px(b)) for k, (a, b) in found.percentiles.items()])


def _doubt(doubt: DoubtScores) -> str:
    ranks = [f"{name} {_px(value)}" for name, value in doubt.ranks.items()]
    lines = [
        f"Doubt of {doubt.points} points of {doubt.images} images. Rank correlation with the "
        f"error: {', '.join(ranks)}.",
        f"Calibrated: usual error of the keypoint × (doubt / its usual doubt) ^ {doubt.power:.2f}; "
        "levels and power are fitted on these very faces.",
        f"Confidence = probability to lie within {doubt.within:g} px. Brier score "
        f"{doubt.brier[0]:.4f} (always saying the share that does: {doubt.brier[1]:.4f}).",
    ]
    if doubt.own is not None:
        lines.append(
            "The run's own calibration, of its held-out images, says here "
            f"{_percent(doubt.own['confidence'])} in the mean, {_percent(doubt.own['found'])} do: "
            f"Brier score {doubt.own['brier']:.4f}."
        )
    return "\n".join(lines)


def _doubt_bins(doubt: DoubtScores) -> str:
    header = ("points, by doubt", "calibrated doubt, px", "RMSE, px", "confidence", "found")
    rows = [
        (
            row["points"],
            _px(row["sigma"]),
            _px(row["rmse"]),
            _percent(row["confidence"]),
            _percent(row["found"]),
        )
        for row in doubt.bins
    ]
    return table(header, rows)


def _coverage(doubt: DoubtScores) -> str:
    header = ("most certain points", "RMSE, px")
    return table(header, [(_percent(share, 0), _px(error)) for share, error in doubt.coverage])


def _worst(found: Analysis) -> str:
    rows = [(i, f"{error:.2f}", _percent(share)) for i, error, share in found.scores.worst]
    return table(("worst images, id", "px", "of the squared error"), rows)


def _px(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "—" if value is None else f"{value:.{digits}%}"
