"""Which faces an analysis looks at, and what one run or several predict for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.evaluation import check_keypoints, faces_for, validation_rows
from kfkd.faces import FaceSet
from kfkd.progress import Ticker, say
from kfkd.runs import Run
from kfkd.scoring import MeanFaces, means_beside

_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Predicted:
    """Faces with what is predicted for them.

    Args:
        faces: with labels.
        points: (n, k, 2) in pixels, NaN = not predicted: the mean over the runs that were asked.
        doubt: (n, k) in pixels, NaN = unknown: of each run, and of the runs among themselves.
        means: of the training labels of the runs that were asked for each face.
        told: which faces they are and who was asked, as a sentence.
    """

    faces: FaceSet
    points: np.ndarray
    doubt: np.ndarray
    means: MeanFaces
    told: str


def predicted_rows(runs: Sequence[Run], data: Any, part: str, quiet: bool = False) -> Predicted:
    """The faces of an analysis and their predictions.

    Several runs answer as one, on the rows that all of them hold out. Where there are none, as
    among the folds of a cross-validation, each row is predicted by the run that holds it out, or
    by the mean of those that do, of several seeds as many for each row.

    Args:
        runs: finished ones, of the same keypoints and images.
        data: labelled faces; None = those of the first run.
        part: "validation" or "all".
        quiet: no progress.

    Raises:
        DataError: when the runs and the data do not fit together, or no row is held out.
        KfkdError: when `part` is neither.
    """
    if part not in ("validation", "all"):
        raise KfkdError(f'part wants "validation" or "all". Received: {part!r}')
    first = runs[0]
    faces = faces_for(first, data, quiet)
    for run in runs[1:]:
        check_keypoints(run, faces)
    asked, told = _asked(runs, faces, part)
    rows = np.flatnonzero(asked.any(axis=0))
    found = np.full((len(runs), len(rows), len(faces.skeleton), 3), np.nan, np.float32)
    for number, run in enumerate(runs):
        own = np.flatnonzero(asked[number, rows])
        say(f"predicting {len(own)} faces: {run.folder}", quiet)
        found[number, own] = _answers(run, faces[rows[own]], quiet)
    points, doubt = together(found)
    looked_at = faces[rows]
    means = _means(runs, looked_at, asked[:, rows])
    return Predicted(looked_at, points, doubt, means, told)


def _means(runs: Sequence[Run], faces: FaceSet, asked: np.ndarray) -> MeanFaces:
    """Of each face the mean faces of the runs that are asked for it, bool (r, n)."""
    found = np.zeros((2, *faces.keypoints.shape))
    for run, own in zip(runs, asked, strict=True):
        found[:, own] += np.stack(means_beside(faces[own], run.record["mean_face"]))
    found /= asked.sum(axis=0)[:, None, None]
    return MeanFaces(*found.astype(np.float32))


def together(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of several answers, and their common doubt.

    Args:
        found: (r, n, k, 3) of r runs: x, y and doubt in pixels; NaN = not asked, or no doubt.

    Returns:
        (n, k, 2), and (n, k): the root of the mean of the runs' variances and the variance between
        their points; NaN where one run alone answers and has no doubt.
    """
    there = ~np.isnan(found[..., 0])
    count = there.sum(axis=0)
    share = np.maximum(count, 1)[..., None]
    points = np.nansum(found[..., :2], axis=0) / share
    between = np.nansum(np.square(found[..., :2] - points), axis=0) / share
    own = np.nansum(np.square(found[..., 2]), axis=0) / share[..., 0]
    doubtful = (count > 1) | ~np.isnan(found[..., 2]).all(axis=0)
    points = np.where(count[..., None] > 0, points, np.nan).astype(np.float32)
    doubt = np.where(doubtful & (count > 0), np.sqrt(own + between.mean(axis=-1)), np.nan)
    return points, doubt.astype(np.float32)


def _asked(runs: Sequence[Run], faces: FaceSet, part: str) -> tuple[np.ndarray, str]:
    """bool (r, n), which run is asked for which row; and what they are, in words."""
    of = "" if len(runs) == 1 else f", mean of {len(runs)} runs"
    asked = np.zeros((len(runs), len(faces)), bool)
    if part == "all":
        own = faces.fingerprint in {run.record["data"]["fingerprint"] for run in runs}
        learned = ", also those that were learned" if own else ""
        return ~asked, f"all rows of {faces.origin}{learned}{of}"
    for number, run in enumerate(runs):
        asked[number, validation_rows(run, faces)] = True
    common = asked.all(axis=0)
    if common.any():
        return np.broadcast_to(common, asked.shape), f"held-out rows of {faces.origin}{of}"
    counts = np.unique(asked.sum(axis=0)[asked.any(axis=0)])
    if len(counts) > 1:
        raise DataError(
            f"the {len(runs)} runs hold out other rows each, none of them common to all, and some "
            "rows more often than others: train them with one split_seed or as whole "
            "cross-validations, or ask for all rows of other data"
        )
    times = counts.max(initial=1)
    who = "the run" if times == 1 else f"the mean of the {times} runs"
    return asked, f"rows of {faces.origin}, each predicted by {who} that held it out"


def _answers(run: Run, faces: FaceSet, quiet: bool) -> np.ndarray:
    """(n, k, 3), a stretch of faces at a time, so that someone who waits sees it go on."""
    ticker, found = Ticker(quiet), []
    for start in range(0, len(faces), _CHUNK):
        part = faces[start : start + _CHUNK]
        points, doubt = run.predict_with_doubt(part.images, source=part.source)
        found.append(np.concatenate([points, doubt[..., None]], axis=-1))
        ticker.show(f"{start + len(part)} of {len(faces)} faces")
    ticker.clear()
    return np.concatenate(found)
