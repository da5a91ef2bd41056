"""A ladder as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SCORES = ("kaggle_rmse", "full", "four_point", "all", "nme")
_TITLES = {"all": "RMSE", "nme": "NME %"}


def as_markdown(rows: Sequence[Mapping[str, Any]], clean: Mapping[str, Any] | None) -> str:
    """The table of a ladder, and what has to be said of it.

    Args:
        rows: in their order.
        clean: which rows of the data the clean figures leave out, see `kfkd.laddering`.
    """
    scores = _shown_scores(rows)
    header = ["run", "model", "changed", "seed", "params", "GFLOPs", "epochs", "minutes"]
    header += ["images/s", "machine", "held out"]
    cleaned = clean is not None and any(row["clean"] for row in rows)
    for name in scores:
        header.append(_TITLES.get(name, name))
        header += [f"{_TITLES.get(name, name)}, clean"] if cleaned and name == scores[0] else []
    lines = [header, ["---"] * len(header)]
    for row in rows:
        cells = _facts(row)
        for name in scores:
            cells.append(_score(row, name))
            cells += [_score(row["clean"], name)] if cleaned and name == scores[0] else []
        lines.append([cell.replace("|", "\\|") for cell in cells])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([table, "", *_notes(rows, clean if cleaned else None)]) + "\n"


def _shown_scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores that a run has; the plain RMSE only where a run lacks Kaggle's."""
    found = [name for name in _SCORES if any(row["scores"].get(name) is not None for row in rows)]
    whole = all(row["scores"].get("kaggle_rmse") is not None for row in rows)
    return [name for name in found if name != "all" or not whole]


def _facts(row: Mapping[str, Any]) -> list[str]:
    changes = row["changes"]
    rates = (rate for rate in row["images_per_second"].values() if rate is not None)
    return [
        f"`{row['name']}`",
        f"`{row['model']}`",
        "not in the zoo" if changes is None else ", ".join(changes) or "—",
        str(row["seed"]),
        f"{row['params']:,}",
        "—" if row["gflops"] is None else f"{row['gflops']:.3f}",
        _epochs(row),
        ("≥ " if row.get("before", []) is None else "") + f"{row['minutes']:g}",
        " / ".join(f"{rate:.0f}" for rate in rates) or "—",
        row["machine"],
        str(row["held_out"]["images"]),
    ]


def _epochs(row: Mapping[str, Any]) -> str:
    """A run's epochs, those of the runs that it began with before them."""
    before = row.get("before", [])
    stages = [*(before or ()), row]
    told = [" + ".join(map(str, stage["epochs"].values())) for stage in stages]
    return " → ".join(["?", *told] if before is None else told)


def _score(figure: Mapping[str, Any] | None, name: str) -> str:
    """A score, and in brackets the mean face's."""
    value = None if figure is None else figure["scores"].get(name)
    if figure is None or value is None:
        return "—"
    face = figure["mean_face"].get(name)
    if name == "nme":
        return f"{100 * value:.2f}" + ("" if face is None else f" ({100 * face:.2f})")
    return f"{value:.3f}" + ("" if face is None else f" ({face:.3f})")


def _notes(rows: Sequence[Mapping[str, Any]], clean: Mapping[str, Any] | None) -> list[str]:
    lines = ["Errors in pixels on held-out images; in brackets the mean face on the same images."]
    if clean is not None:
        ids = ", ".join(map(str, clean["rows"][:20])) + (", …" if len(clean["rows"]) > 20 else "")
        lines.append(f"Clean: without {len(clean['rows'])} rows of the data: {ids}.")
    learned = [row["name"] for row in rows if row["held_out"].get("on") != "validation"]
    if learned:
        lines.append(f"**Measured on images that were learned: {', '.join(learned)}.**")
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(_split(row["held_out"]), []).append(f"`{row['name']}`")
    if len(groups) > 1:
        told = "; ".join(f"{', '.join(names)}: {split}" for split, names in groups.items())
        lines.append(f"**Not all runs are measured on the same images: {told}.**")
    return [f"- {line}" for line in lines]


def _split(held_out: Mapping[str, Any]) -> str:
    """Which images a run was measured on, in words."""
    told = f"{held_out.get('data')} (fingerprint {held_out.get('fingerprint')}), "
    fold = held_out.get("fold")
    if fold:
        told += f"fold {fold[0]} of {fold[1]}, "
    return f"{told}split seed {held_out.get('seed')}, {held_out['images']} images"
