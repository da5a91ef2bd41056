"""Members whose predictions are broken: found by rule and named, so that none is averaged in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kfkd.metrics import mean_face, rmse
from kfkd.submissions.out_of_fold import OutOfFold

FAR = 1.25
"""Times the mean face's error: who is worse than that is broken, and not merely poor."""

STILL = 0.05
"""Pixels: points that vary less than that from image to image do not follow the face."""

APART = 3.0
"""Times the usual distance of a member to the median of all."""

APART_SHARE = 0.05
"""Share of the image's width below which a distance to the median is no fault."""

_FEW = 5
"""Images below which nothing is said of how points vary or how good they are."""


def fault(member: OutOfFold) -> str | None:
    """What is broken about a model's out-of-fold predictions, None where nothing is.

    Args:
        member: its folds are looked at one by one, since each is another net.
    """
    known = np.isfinite(member.predicted).any(axis=(0, 1, 3))
    if not known.any():
        return "it predicts nothing"
    for seed, predicted in zip(member.facts["seeds"], member.predicted, strict=True):
        for fold in np.unique(member.fold):
            rows = member.fold == fold
            what = _fold_fault(member, rows, predicted[rows][:, known], known)
            if what:
                return f"seed {seed}, fold {fold}: {what}"
    return None


def _fold_fault(
    member: OutOfFold, rows: np.ndarray, predicted: np.ndarray, known: np.ndarray
) -> str | None:
    if what := _no_face(predicted):
        return what
    truth = member.truth[rows][:, known].astype(np.float64)
    # Each source's own mean face, as its labels follow a convention of their own.
    mean = np.full(truth.shape, np.nan)
    for source in np.unique(member.source[rows]):
        others = ~rows & (member.source == source)
        mean[member.source[rows] == source] = mean_face(member.truth[others][:, known])
    own, constant = rmse(truth, predicted), rmse(truth, mean)
    if len(truth) >= _FEW and own > FAR * constant:
        return f"its error is {own:.2f} px, the mean face's {constant:.2f} px"
    return None


def broken_answers(answers: Sequence[np.ndarray], width: int) -> dict[int, str]:
    """Predictions of images without labels that cannot be right.

    Args:
        answers: (n, k, 2) in pixels of each member, NaN = a keypoint that it does not predict.
        width: of the images in pixels.

    Returns:
        What is wrong, by the member's index. Who is far from the others is told from three on.
    """
    found: dict[int, str] = {}
    for index, answer in enumerate(answers):
        known = ~np.isnan(answer).all(axis=(0, 2))
        what = _no_face(answer[:, known]) if known.any() else "it predicts nothing"
        found |= {index: what} if what else {}
    sound = [i for i in range(len(answers)) if i not in found]
    if len(sound) < 3 or not len(answers[0]):
        return found
    middle = _middle(np.stack([answers[i] for i in sound]))
    apart = {i: rmse(answers[i], middle) for i in sound}
    limit = max(APART * float(np.median(list(apart.values()))), APART_SHARE * width)
    for index, distance in apart.items():
        if distance > limit:
            found[index] = f"it is {distance:.1f} px away from the others' median"
    return found


def _no_face(predicted: np.ndarray) -> str | None:
    """What is wrong with (n, k, 2) of keypoints that a member predicts."""
    lost = int((~np.isfinite(predicted)).any(axis=(1, 2)).sum())
    if lost:
        return f"{lost} of {len(predicted)} images without a number for every keypoint"
    if len(predicted) >= _FEW and predicted.std(axis=0, dtype=np.float64).max() < STILL:
        return "the same points for every image"
    return None


def _middle(stack: np.ndarray) -> np.ndarray:
    """Median over the members (m, n, k, 2) that predict a keypoint; NaN where none does."""
    found = np.full(stack.shape[1:], np.nan)
    for point in range(stack.shape[2]):
        known = ~np.isnan(stack[:, :, point]).any(axis=(1, 2))
        if known.any():
            found[:, point] = np.median(stack[known][:, :, point], axis=0)
    return found
