"""A comparison's numbers: means over seeds, and Dunnett's test against the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kfkd.comparisons.blocks import dunnett_in_blocks

METRICS = ("dense", "sparse", "kaggle_rmse")
"""The scores that are compared, RMSEs in pixels."""

ALPHA = 0.05
"""A difference whose p lies below is called significant."""


@dataclass(frozen=True)
class Comparison:
    """What several trainings of each mix came to.

    Args:
        facts: what all trainings have in common, and the command that repeats them.
        runs: each finished training: mix, seed, folder, scores "rmse", the mean
            face's, epochs, seconds, machine.
        results: by mix, the control first, and metric: what `against_control` finds.
        mean_face: the mean face's scores on the same images.
        published: the study's own values by mix, and what its rows really were.
    """

    facts: Mapping[str, Any]
    runs: tuple[Mapping[str, Any], ...]
    results: Mapping[str, Mapping[str, Mapping[str, Any]]]
    mean_face: Mapping[str, float]
    published: Mapping[str, Mapping[str, Any]]

    @property
    def control(self) -> str:
        """The mix that the others are compared with."""
        return next(iter(self.results))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The scores that every training has."""
        return tuple(self.results[self.control])

    def verdict(self, metric: str) -> dict[str, list[str]]:
        """What is known of the tested mixes, by "better", "worse" and "not told apart".

        Args:
            metric: one of `metrics`.
        """
        said: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
        for mix, scores in self.results.items():
            if word := judged(scores[metric]):
                said[word].append(mix)
        return said

    def table(self) -> str:
        """The comparison as Markdown: settings, table, and what it says in words."""
        from kfkd.comparisons.text import as_markdown

        return as_markdown(self)

    __str__ = table

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return asdict(self)


def judged(score: Mapping[str, Any]) -> str | None:
    """Whether a group of `against_control` is "better", "worse" or "not told apart".

    Args:
        score: the group; None is answered where it was not tested.
    """
    if score["p"] is None:
        return None
    if score["p"] >= ALPHA:
        return "not told apart"
    return "better" if score["difference"] < 0 else "worse"


def compared(
    facts: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    published: Mapping[str, Mapping[str, Any]],
) -> Comparison:
    """The comparison of finished trainings.

    Args:
        facts: see `Comparison`.
        runs: see `Comparison`; the first one is of the control.
        published: the study's values by mix; those of other mixes are left out.
    """
    mixes = list(dict.fromkeys(run["mix"] for run in runs))
    metrics = [m for m in METRICS if all(run["rmse"].get(m) is not None for run in runs)]
    results: dict[str, dict[str, Any]] = {mix: {} for mix in mixes}
    for metric in metrics:
        scores = {
            mix: {run["seed"]: run["rmse"][metric] for run in runs if run["mix"] == mix}
            for mix in mixes
        }
        for mix, found in against_control(scores).items():
            results[mix][metric] = found
    mean_face = runs[0]["mean_face"]
    return Comparison(
        facts={**facts, "machines": list(dict.fromkeys(run["machine"] for run in runs))},
        runs=tuple(runs),
        results=results,
        mean_face={m: value for m in metrics if (value := mean_face.get(m)) is not None},
        published={mix: published[mix] for mix in mixes if mix in published},
    )


def against_control(scores: Mapping[str, Mapping[int, float]]) -> dict[str, dict[str, Any]]:
    """Mean and spread of each group, and whether it differs from the first, the control.

    Args:
        scores: a score for each seed, by group.

    Returns:
        For each group: seeds, mean, std (of a sample; None of one), difference to the control's
        mean, and p of Dunnett's test with seeds as blocks (see `dunnett_in_blocks`), None where
        untested.

    Example:
        >>> scores = {"none": [3.0, 3.1, 3.3], "blur": [2.0, 2.1, 2.2]}
        >>> found = against_control({mix: dict(enumerate(s)) for mix, s in scores.items()})
        >>> found["blur"]["p"] < 0.01
        True
    """
    control = next(iter(scores))
    values = {name: [*by_seed.values()] for name, by_seed in scores.items()}
    p, base = dunnett_in_blocks(scores), np.mean(values[control])
    return {
        name: {
            "seeds": len(found),
            "mean": round(float(np.mean(found)), 5),
            "std": round(float(np.std(found, ddof=1)), 5) if len(found) > 1 else None,
            "difference": None if name == control else round(float(np.mean(found) - base), 5),
            "p": p.get(name),
        }
        for name, found in values.items()
    }
