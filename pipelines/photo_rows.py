"""From what a reader found, row by row, to a `PhotoSet`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfkd.errors import DataError
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_facts import PhotoFacts, Place, name_digests, photo_facts
from kfkd.skeletons import Skeleton

WHOLE = (np.nan,) * 4
"""The box that stands for the whole photo."""


class Row(NamedTuple):
    """One face as a reader finds it.

    Args:
        photo: its file.
        points: (k, 2) in pixels of the photo, NaN = not labelled.
        box: x, y, width, height in pixels of the photo; NaN = the whole photo.
        person: whose face it is, "" = unknown.
    """

    photo: Path
    points: np.ndarray
    box: tuple[float, float, float, float] = WHOLE
    person: str = ""


def photo_set(
    rows: Sequence[Row],
    skeleton: Skeleton,
    origin: str,
    path: Path,
    place: Place,
    *,
    facts: PhotoFacts | None = None,
    notes: Sequence[str] = (),
    quiet: bool = True,
) -> PhotoSet:
    """Checks rows against their photos and puts them together.

    Args:
        rows: at least one.
        skeleton: names the points.
        origin: the data set's name, also the rows' source.
        path: what was read.
        place: the file and row that name a face, for messages.
        facts: of the rows' photos, where they are known already.
        notes: the reader's.
        quiet: no progress.

    Returns:
        The set; faces of one person share a group, those of unknown persons one for each photo.

    Raises:
        DataError: when a photo is absent or no image, or a box lies outside its photo.
    """
    facts = facts or photo_facts([row.photo for row in rows], place, quiet)
    points = np.stack([row.points for row in rows]).astype(np.float32)
    boxes = np.array([row.box for row in rows], np.float32)
    _check_boxes(boxes, facts.sizes, place)
    known = np.array([bool(row.person) for row in rows])
    persons = name_digests(f"{origin}:{row.person}" for row in rows)
    return PhotoSet(
        paths=np.array([str(row.photo) for row in rows], object),
        sizes=facts.sizes,
        digests=facts.digests,
        boxes=boxes,
        keypoints=points,
        skeleton=skeleton,
        source=np.full(len(rows), origin),
        group=np.where(known, persons, facts.digests),
        ids=np.arange(1, len(rows) + 1),
        origin=origin,
        path=str(path.absolute()),
        notes=(*notes, *_outside(points, facts.sizes, skeleton, rows)),
    )


def boxes_beyond(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which boxes lie wholly outside their photos.

    Args:
        boxes: (n, 4), (x, y, width, height) in pixels; those of NaN do not.
        sizes: (n, 2) or, the same for all, (2,): width and height.

    Returns:
        bool (n,).
    """
    (x, y, w, h), (width, height) = boxes.T, sizes.T
    # The edge of the outermost pixels is half a pixel beyond their centres.
    return (x >= width - 0.5) | (y >= height - 0.5) | (x + w <= -0.5) | (y + h <= -0.5)


def no_such_place(box: np.ndarray, size: np.ndarray, what: str = "lies outside") -> str:
    """A sentence about a box that does not fit its photo.

    Args:
        box: (4,).
        size: (2,), of the photo.
        what: is wrong.
    """
    return (
        f"the box {_numbers(box)} (x, y, width, height) {what} the photo of {_numbers(size)} pixels"
    )


def _check_boxes(boxes: np.ndarray, sizes: np.ndarray, place: Place) -> None:
    empty = ~np.isnan(boxes).all(axis=1) & ~((boxes[:, 2] > 0) & (boxes[:, 3] > 0))
    for row in np.flatnonzero(boxes_beyond(boxes, sizes) | empty)[:1].tolist():
        file, number = place(row)
        what = "has no area in" if empty[row] else "lies outside"
        raise DataError(no_such_place(boxes[row], sizes[row], what), file=file, row=number)


def _outside(
    points: np.ndarray, sizes: np.ndarray, skeleton: Skeleton, rows: Sequence[Row]
) -> list[str]:
    """One sentence about labels beyond the middle of the outermost pixels, if there are any."""
    places = np.argwhere((points < 0) | (points > sizes[:, None] - 1))
    if not len(places):
        return []
    row, point, axis = places[0]
    return [
        f"{len(places)} of the labels lie outside their photo, the first at row {row + 1} "
        f"({rows[row].photo.name}), {skeleton.points[point]}_{'xy'[axis]}: "
        f"{points[row, point, axis]:.2f}"
    ]


def _numbers(values: np.ndarray) -> str:
    return " × ".join(f"{v:g}" for v in values) if len(values) == 2 else str(values.tolist())
