"""Greedy forward selection: an average of fewer members is often better than one of all."""

from __future__ import annotations

import numpy as np

from kfkd.submissions.panel import Panel


def select(panel: Panel) -> tuple[int, ...]:
    """Members whose mean has a small out-of-fold error: the best, then who helps most, and so on.

    Args:
        panel: rows of one source; every member predicts every keypoint.

    Returns:
        Indices in the order of their selection; all members where nothing is labelled.

    Example:
        >>> truth = np.zeros((1, 1, 2))
        >>> predicted = np.stack([truth + 1, truth + 9, truth - 1])
        >>> row = np.zeros(1, int)
        >>> select(Panel(("a", "b", "c"), predicted, truth, row.astype(str), row, row))
        (0, 2)
    """
    known = ~np.isnan(panel.truth)
    errors = panel.predicted[:, known] - panel.truth[known]
    gram = errors @ errors.T
    chosen: list[int] = []
    left, least = list(range(len(gram))), np.inf
    while left and known.any():
        scores = [gram[np.ix_([*chosen, i], [*chosen, i])].mean() for i in left]
        best = int(np.argmin(scores))
        if scores[best] >= least:
            break
        least = scores[best]
        chosen.append(left.pop(best))
    return tuple(chosen) or tuple(range(len(gram)))
