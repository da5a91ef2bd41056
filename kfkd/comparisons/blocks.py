"""Many groups against a control where every seed gives all groups the same first weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def dunnett_in_blocks(scores: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Dunnett's test of groups against the first one, with seeds as blocks.

    The logarithm of a score is taken as a sum of what its group, its seed and chance give; a
    seed's luck, which all groups share, is thus no part of the spread that differences are
    measured by, and errors count as ratios. p is that of the largest of all |t| (Dunnett 1955;
    for blocks Hsu, Multiple Comparisons, 1996, 7.1), so that it holds for all groups together.

    Args:
        scores: positive scores by seed, by group; groups of one seed are left out.

    Returns:
        p by group; nothing where there is nothing to test, or no spread to test it by.

    Example:
        >>> p = dunnett_in_blocks({"a": {0: 1.0, 1: 2.0, 2: 4.0}, "b": {0: 0.8, 1: 1.7, 2: 3.3}})
        >>> round(p["b"], 3)
        0.008
    """
    groups = {name: by_seed for name, by_seed in scores.items() if len(by_seed) > 1}
    if next(iter(scores), None) not in groups or len(groups) < 2:
        return {}
    values = np.array([v for by_seed in groups.values() for v in by_seed.values()], float)
    if not (np.isfinite(values) & (values > 0)).all():
        return {}
    design = _design([[*by_seed] for by_seed in groups.values()])
    freedom = len(values) - np.linalg.matrix_rank(design)
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    inverse = np.linalg.inv(design.T @ design)
    effects = inverse @ design.T @ np.log(values)
    rest = np.log(values) - design @ effects
    variance = rest @ rest / freedom
    if variance < 1e-18:
        return {}
    others = len(groups) - 1
    shape = inverse[:others, :others]
    spread = np.sqrt(np.diag(shape))
    statistics = np.abs(effects[:others]) / (spread * np.sqrt(variance))
    return _at_least(statistics, shape / np.outer(spread, spread), freedom, [*groups][1:])


def _design(seeds: Sequence[Sequence[int]]) -> np.ndarray:
    """A column for each group but the first, then one for each seed; a row for each score."""
    known = sorted({seed for group in seeds for seed in group})
    rows = []
    for number, group in enumerate(seeds):
        for seed in group:
            row = np.zeros(len(seeds) - 1 + len(known))
            row[len(seeds) - 1 + known.index(seed)] = 1
            if number:
                row[number - 1] = 1
            rows.append(row)
    return np.array(rows)


def _at_least(
    statistics: np.ndarray, correlation: np.ndarray, freedom: int, names: Sequence[str]
) -> dict[str, float]:
    """How often the largest of all |t| is at least each of these, by name."""
    from scipy.stats import multivariate_t, t

    if len(names) == 1:
        return {names[0]: round(float(2 * t.sf(statistics[0], freedom)), 5)}
    law = multivariate_t(shape=correlation, df=freedom, allow_singular=True)
    found = {}
    for name, value in zip(names, statistics, strict=True):
        limit = np.full(len(names), value)
        # Integrated at random; seeded, the same scores give the same p.
        inside = law.cdf(limit, lower_limit=-limit, random_state=np.random.default_rng(0))
        found[name] = round(float(np.clip(1 - inside, 0, 1)), 5)
    return found
