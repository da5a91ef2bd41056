"""Two annotators as two sets of points: what a net learns that is told who labelled a face.

Kaggle's `full` and `four_point` rows disagree by pixels on where a nose tip and a bottom lip lie.
Here each source has points of its own: fully labelled rows label the first fifteen, the others the
last four, and what a source does not label is NaN and masked, as any missing label is. So one net
learns from all rows, and answers as either source would.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.faces import SOURCES, FaceSet
from kfkd.skeletons import KAGGLE_15, Skeleton, swaps_by_name

FOUR_POINT = KAGGLE_15.subset("dense")
"""The keypoints of `KAGGLE_15` that the four-point source labels."""

_NAMES = (*KAGGLE_15.points, *(f"{KAGGLE_15.points[i]}_by_four_point" for i in FOUR_POINT))

KAGGLE_BY_SOURCE = Skeleton(
    name="KAGGLE_BY_SOURCE",
    points=_NAMES,
    swaps=swaps_by_name(_NAMES),
    subsets={"full": tuple(range(15)), "four_point": tuple(range(15, 19))},
    normaliser=KAGGLE_15.normaliser,
)
"""Kaggle's 15 keypoints as the full source labels them, then four as the other one does."""


def split_sources(faces: FaceSet) -> FaceSet:
    """The same faces with points of its own for each source.

    Args:
        faces: of `KAGGLE_15`, keypoints (n, 15, 2).

    Returns:
        Faces of `KAGGLE_BY_SOURCE`, keypoints (n, 19, 2).

    Raises:
        DataError: when the faces have other keypoints.
    """
    if faces.skeleton.points != KAGGLE_15.points:
        raise DataError(f"only Kaggle's faces have two sources. Received: {faces.skeleton.name}")
    keypoints = np.full((len(faces), len(KAGGLE_BY_SOURCE), 2), np.nan, np.float32)
    four = faces.source == "four_point"
    keypoints[~four, : len(KAGGLE_15)] = faces.keypoints[~four]
    keypoints[four, len(KAGGLE_15) :] = faces.keypoints[four][:, FOUR_POINT]
    return replace(faces, keypoints=keypoints, skeleton=KAGGLE_BY_SOURCE)


def join_sources(points: np.ndarray, source: np.ndarray | str = "full") -> np.ndarray:
    """Fifteen keypoints of nineteen, each image's as its source labels them.

    Args:
        points: (n, 19, 2) of `KAGGLE_BY_SOURCE`, or more columns a point.
        source: (n,) "full" or "four_point", or one for all; the eleven points that the four-point
            source never labels are the full source's, as are all points of images whose source is
            the name of another data set.

    Returns:
        (n, 15, 2) of `KAGGLE_15`.

    Raises:
        KfkdError: when `source` is nothing of that.
    """
    joined = points[:, : len(KAGGLE_15)].copy()
    own = np.flatnonzero(_source_of_each(source, len(points)) == "four_point")
    joined[np.ix_(own, np.array(FOUR_POINT))] = points[own, len(KAGGLE_15) :]
    return joined


def _source_of_each(source: np.ndarray | str, count: int) -> np.ndarray:
    """The source of each of `count` images."""
    told = np.asarray(source)
    one = isinstance(source, str) and source in SOURCES
    several = told.shape == (count,) and all(isinstance(name, str) for name in told)
    if not one and not several:
        received = repr(source) if told.ndim == 0 else f"{told.dtype} of the shape {told.shape}"
        raise KfkdError(
            f"source wants {' or '.join(SOURCES)}, or one of these for each of {count} images. "
            f"Received: {received:.100}"
        )
    return np.broadcast_to(told, count)
