"""A search as Markdown, and its progress in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kfkd.progress import duration
from kfkd.searches.scores import shown
from kfkd.text import markdown_table, table

if TYPE_CHECKING:
    from kfkd.searches.results import Search


def as_markdown(found: Search) -> str:
    """The search as a Markdown page.

    Args:
        found: with at least one trial.
    """
    parts = [_heading(found), _trials(found)]
    if failed := [row for row in found.trials if row["status"] == "failed"]:
        lines = [f"- {row['trial']}: {row['reason'] or 'unknown'}" for row in failed]
        parts.append("\n".join(["Failed and passed over:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _heading(found: Search) -> str:
    facts, count = found.facts, {"finished": 0, "failed": 0, "running": 0}
    for row in found.trials:
        count[row["status"]] += 1
    lines = [
        f"`{facts['model']}` on {facts['rows']:,} rows ({facts['data']}): {facts['train']:,} to "
        f"learn from, {facts['validation']:,} held out, the same for every trial. Tuner "
        f"{facts['tuner']}, seed {facts['seed']}, epochs at most {facts['epochs']}, "
        f"{facts['precision']}. Objective: {facts['objective']} on the held-out images, on which "
        "the trials were chosen, so that the best score is kind to itself.",
        f"{count['finished']} trials finished, {count['failed']} failed. The first trial has "
        f"{_defaults(facts)}.",
    ]
    if not facts["finished"]:
        lines[1] = f"**Unfinished, {facts['planned']} trials are planned.** {lines[1]}"
    if found.ranked:
        best = found.ranked[0]
        lines.append(
            f"Best: trial {best['trial']}, {shown(best['score'], facts['objective'])} (mean face "
            f"{shown(best['mean_face'], facts['objective'])}), in the search's folder as "
            f"`{best['folder']}`."
        )
    return "\n\n".join([*lines, f"Repeat: `{facts['command']}`"])


def _defaults(facts: Mapping[str, Any]) -> str:
    return "the space's defaults" if facts["own_space"] else "the published settings"


def _trials(found: Search) -> str:
    rows = [*found.ranked, *(row for row in found.trials if row["status"] != "finished")]
    names = [f["name"] for f in found.facts["space"] if any(f["name"] in r["values"] for r in rows)]
    header = ["trial", found.facts["objective"], "epochs", "minutes", *names]
    cells = [header]
    for row in rows:
        score = shown(row["score"], found.facts["objective"])
        number = row["trial"] + (f" ← {row['from']}" if row["from"] else "")
        minutes = "—" if row["seconds"] is None else f"{row['seconds'] / 60:.1f}"
        told = [value_text(row["values"].get(name)) for name in names]
        score = score if row["status"] == "finished" else row["status"]
        cells.append([number, score, str(row["epochs"]), minutes, *told])
    return markdown_table(cells)


def value_text(value: Any) -> str:
    """A drawn value for people: three digits, "—" where it was not drawn."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "—" if value is None else str(value)


def progress_line(found: Search, row: Mapping[str, Any], work: int) -> str:
    """What is said after a trial.

    Args:
        found: the search so far.
        row: the trial that has just ended.
        work: epochs planned in all.
    """
    ended = [r for r in found.trials if r["status"] != "running"]
    line = f"{len(ended)}/{found.facts['planned']} trial {row['trial']}"
    if row["status"] == "failed":
        return f"{line} failed: {row['reason']}"
    objective = found.facts["objective"]
    line += f": {shown(row['score'], objective)} (best {shown(found.ranked[0]['score'], objective)}"
    line += f", mean face {shown(row['mean_face'], objective)}) in {duration(row['seconds'] or 0)}"
    line += left if (left := _left(ended, work)) else ""
    told = [
        f"{f['name']} {value_text(row['values'][f['name']])}"
        for f in found.facts["space"]
        if row["values"].get(f["name"], f["default"]) != f["default"]
    ]
    return f"{line}: {', '.join(told) or _defaults(found.facts)}"


def _left(ended: Sequence[Mapping[str, Any]], work: int) -> str:
    """How long the rest may take, as the trials so far went, shared among those who work."""
    done = sum(row["epochs"] - row["first_epoch"] for row in ended)
    seconds = sum(row["seconds"] or 0 for row in ended)
    workers = len({row["by"] for row in ended})
    rest = seconds / max(done, 1) * (work - done) / max(workers, 1)
    return f", about {duration(rest)} left" if rest > 0 else ""


def space_text(facts: Sequence[Mapping[str, Any]]) -> str:
    """A search space as a text table.

    Args:
        facts: rows of `kfkd.searches.checks.space_facts`.
    """
    rows = [(f["name"], value_text(f["default"]), _range(f)) for f in facts]
    return table(("varied", "published", "values"), rows)


def _range(row: Mapping[str, Any]) -> str:
    if "values" in row:
        return ", ".join(map(value_text, row["values"]))
    if row["kind"] == "Boolean":
        return "True, False"
    if "min_value" not in row:
        return value_text(row["default"])
    told = f"{value_text(row['min_value'])} to {value_text(row['max_value'])}"
    return told + (f", {row['sampling']}" if row.get("sampling", "linear") != "linear" else "")
