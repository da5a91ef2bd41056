"""The pictures that `kfkd.exploring` leaves, and its sheets of faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.sheets import face_sheet
from kfkd.duplicates import DuplicateGroup
from kfkd.exploration.charts import (
    brightness_histograms,
    distributions,
    missing_bars,
    position_clouds,
)
from kfkd.faces import FaceSet
from kfkd.statistics import sources_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 32
"""Faces on a sheet."""


def exploration_pictures(
    faces: FaceSet,
    groups: Sequence[DuplicateGroup],
    findings: Sequence[Mapping[str, Any]],
    seed: int = 0,
) -> dict[str, Callable[[], Figure]]:
    """The pictures that this set has something to show on, each drawn when called.

    Args:
        faces: at least one face.
        groups: its `duplicate_groups`.
        findings: its `outliers`.
        seed: chooses the random faces.

    Returns:
        Functions by file name.
    """
    pictures: dict[str, Callable[[], Figure]] = {
        "missing.png": partial(missing_bars, faces),
        "positions.png": partial(position_clouds, faces, seed),
        "faces.png": partial(random_faces, faces, seed),
        "brightness.png": partial(brightness_histograms, faces),
    }
    if faces.labelled.any():
        pictures["distributions.png"] = partial(distributions, faces)
    if groups:
        pictures["duplicates.png"] = partial(duplicate_sheet, faces, groups)
    if findings:
        pictures["outliers.png"] = partial(outlier_sheet, faces, findings)
    return pictures


def random_faces(faces: FaceSet, seed: int = 0) -> Figure:
    """A sheet of random faces, as many of each label source."""
    rng, sources = np.random.default_rng(seed), sources_of(faces)
    share = -(-SHOWN // len(sources))
    chosen = []
    for name in sources:
        rows = np.flatnonzero(faces.source == name)
        chosen.append(np.sort(rng.choice(rows, min(share, len(rows)), replace=False)))
    picked = faces[np.concatenate(chosen)]
    titles = [
        f"row {face} {source}" for face, source in zip(picked.ids, picked.source, strict=True)
    ]
    heading = f"{len(picked)} random faces"
    return face_sheet(picked.images, picked.keypoints, None, titles, 8, heading, ("label", ""))


def duplicate_sheet(faces: FaceSet, groups: Sequence[DuplicateGroup]) -> Figure:
    """The identical images whose labels differ most, each with both rows' labels."""
    first, second = (np.array([group.pair[i] for group in groups[:SHOWN]]) for i in (0, 1))
    titles = []
    for group in groups[:SHOWN]:
        one, other = (f"{faces.ids[i]}" for i in group.pair)
        apart = (
            "no label in common" if np.isnan(group.disagreement) else f"{group.disagreement:.1f} px"
        )
        titles.append(f"rows {one} and {other}\n{apart}")
    points, heading = (
        faces.keypoints,
        (
            f"{len(titles)} of {len(groups)} images that occur more than once, "
            "with the largest difference of a coordinate"
        ),
    )
    names = ("label of the first row", "label of the second row")
    sheet = partial(face_sheet, titles=titles, title=heading, names=names)
    return sheet(faces.images[first], points[first], points[second])


def outlier_sheet(faces: FaceSet, findings: Sequence[Mapping[str, Any]]) -> Figure:
    """The rows with the strangest labels, with the main reason of each."""
    main = {f["rank"]: f for f in reversed(findings)}
    top = [main[rank] for rank in sorted(main)][:SHOWN]
    picked = faces[[f["position"] for f in top]]
    titles = [
        f"row {f['row']}: {f['deviations']:.0f} deviations\n"
        + fill(f["reason"].replace("_", " "), 28)
        for f in top
    ]
    heading = (
        f"{len(top)} of {len(main)} rows with a face in an unusual place: bad label, crop or pose"
    )
    return face_sheet(picked.images, picked.keypoints, None, titles, 8, heading, ("label", ""))
