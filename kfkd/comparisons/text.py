"""A comparison as Markdown: settings, table, and what it says in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfkd.comparisons.significance import ALPHA, judged
from kfkd.text import markdown_table

if TYPE_CHECKING:
    from kfkd.comparisons.significance import Comparison


def as_markdown(found: Comparison) -> str:
    """The comparison as a Markdown page.

    Args:
        found: with at least one training.
    """
    parts = [_heading(found), _scores(found), _words(found)]
    if found.published:
        parts.append(_notes(found))
    return "\n\n".join(parts) + "\n"


def _heading(found: Comparison) -> str:
    facts, finished = found.facts, len(found.runs)
    lines = [
        f"`{facts['model']}` on {facts['rows']:,} rows ({facts['data']}): {facts['train']:,} to "
        f"learn from, {facts['validation']:,} held out by split seed {facts['split_seed']}, the "
        f"same for every training and never augmented. Epochs at most {facts['epochs']}, batch "
        f"{facts['batch_size']}, learning rate {facts['learning_rate']:g}, {facts['precision']}, "
        f"seeds {', '.join(map(str, facts['seeds']))}. Mixes are drawn anew in every epoch. "
        f"{_ends(found)} {'; '.join(facts['machines'])}.",
        f"Repeat: `{facts['command']}`",
    ]
    if finished < facts["planned"]:
        lines.insert(0, f"**Unfinished: {finished} of {facts['planned']} trainings so far.**")
    return "\n\n".join(lines)


def _ends(found: Comparison) -> str:
    """How many trainings stopped early, and which epoch of each is scored."""
    most = found.facts["epochs"]
    early = [run for run in found.runs if any(n < most for n in run["epochs"].values())]
    ends = f"{len(early)} of {len(found.runs)} trainings stopped before" if early else "All reach"
    last = found.facts.get("restore_best") is False
    epoch = "as it ends" if last else "at its best epoch on the held-out images"
    return f"{ends} the last epoch; each is scored {epoch}."


def _scores(found: Comparison) -> str:
    study = [m for m in found.metrics if any(m in row for row in found.published.values())]
    header, last = ["RMSE in px", "seeds"], ["mean face", ""]
    for metric in found.metrics:
        header += [metric, f"against {_short(found.control)}"] + ["study"] * (metric in study)
        last += [_number(found.mean_face.get(metric)), ""] + [""] * (metric in study)
    rows = []
    for mix, scores in found.results.items():
        row = [f"`{mix}`", str(max(score["seeds"] for score in scores.values()))]
        for metric, score in scores.items():
            row += [_mean(score), _against(score)]
            if metric in study:
                row.append(_number(found.published.get(mix, {}).get(metric)))
        rows.append(row)
    return markdown_table([header, *rows, last])


def _short(mix: str) -> str:
    return f"`{mix}`" if len(mix) < 32 else "the first"


def _mean(score: Mapping[str, Any]) -> str:
    return f"{score['mean']:.3f}" + ("" if score["std"] is None else f" ± {score['std']:.3f}")


def _against(score: Mapping[str, Any]) -> str:
    if score["difference"] is None:
        return "—"
    change, word = f"{score['difference']:+.3f}".replace("-", "−"), judged(score)
    if word is None:
        return change
    p = "p < 0.001" if score["p"] < 0.001 else f"p = {score['p']:.3f}"
    told = "not significant" if word == "not told apart" else f"**significantly {word}**"
    return f"{change}, {p}, {told}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _words(found: Comparison) -> str:
    lines = []
    for metric in found.metrics:
        parts = [
            f"{'' if word == 'not told apart' else 'significantly '}{word}: "
            + ", ".join(f"`{mix}`" for mix in mixes)
            for word, mixes in found.verdict(metric).items()
            if mixes
        ]
        if parts:
            lines.append(f"- {metric}: {'; '.join(parts)}")
    if not lines:
        return (
            "Nothing was tested for significance: that wants two seeds of each mix, the same for "
            "all, and scores that differ."
        )
    test = f"by Dunnett's test of log RMSE with seeds as blocks (p < {ALPHA})"
    return "\n".join([f"Against `{found.control}`, {test}:", "", *lines])


def _notes(found: Comparison) -> str:
    title = (
        "study: what the Kaggle study printed for its Simple CNN, one seed, each row on validation "
        "images of its own with copies of training images among them."
    )
    notes = [f"- `{m}`: {row['note']}" for m, row in found.published.items() if "note" in row]
    return "\n".join([title, *([""] if notes else []), *notes])
