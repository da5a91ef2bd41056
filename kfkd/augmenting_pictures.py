"""Sheets of what a mix makes of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.augment import Mix
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.sheets import face_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH = 64
_COUNTED = 512
_LETTERS = 24
"""Letters of a heading that are as wide as a face."""


def shown_rows(faces: FaceSet, count: int) -> np.ndarray:
    """Rows spread over the set, of the most labels that `count` rows have.

    Args:
        faces: the set, at least one row.
        count: how many rows; fewer where there are fewer.

    Returns:
        Ascending row numbers.
    """
    labels = faces.labelled.sum(axis=(1, 2))
    count = min(count, len(faces))
    pool = np.flatnonzero(labels >= np.sort(labels)[-count])
    return pool[np.linspace(0, len(pool) - 1, count + 2).round().astype(int)[1:-1]]


def drawn(what: Mix, faces: FaceSet, seed: int, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A batch as a training step would get it.

    Args:
        what: the mix.
        faces: the batch.
        seed: of the draws.
        step: another one draws anew.

    Returns:
        uint8 images and float32 keypoints.
    """
    made = what.bind(faces.skeleton)(faces.images, faces.keypoints, np.array([seed, step], "int32"))
    images, keypoints = map(keras.ops.convert_to_numpy, made)
    return images, keypoints


def lost_points(what: Mix, faces: FaceSet, seed: int) -> dict[str, Any]:
    """How many labelled keypoints a mix moves out of the frame, over 512 draws.

    Args:
        what: the mix.
        faces: the set; rows spread over it are drawn.
        seed: of the draws.

    Returns:
        The `numbers` of `kfkd.augmenting.DrawnMix`.
    """
    rows = np.linspace(0, len(faces) - 1, _COUNTED).round().astype(int)
    # Neighbouring rows are alike; a batch takes its faces from the whole set.
    batches = [faces[rows[first :: _COUNTED // _BATCH]] for first in range(_COUNTED // _BATCH)]
    before = np.concatenate([_inside(b.keypoints, b.images) for b in batches])
    made = [drawn(what, batch, seed, step) for step, batch in enumerate(batches)]
    after = np.concatenate([_inside(keypoints, images) for images, keypoints in made])
    points, lost = int(before.sum()), before - after
    return {
        "images": _COUNTED,
        "points": points,
        "points_lost": float(lost.clip(min=0).sum() / points) if points else None,
        "faces_losing": float((lost > 0).mean()) if points else None,
    }


def _inside(keypoints: np.ndarray, images: np.ndarray) -> np.ndarray:
    """How many points of each image lie on a pixel of it, (n,)."""
    height, width = images.shape[1:3]
    on = (keypoints >= -0.5) & (keypoints <= np.array([width, height]) - 0.5)
    return on.all(axis=2).sum(axis=1)


def draws_sheet(what: Mix, faces: FaceSet, draws: int, seed: int) -> Figure:
    """A row for each face: the original, then draws of the whole mix.

    Args:
        what: the mix.
        faces: the originals.
        draws: of each.
        seed: of the draws.
    """
    rows = [faces[np.full(draws, row)] for row in range(len(faces))]
    together = faces[np.repeat(np.arange(len(faces)), draws)]
    images, keypoints = drawn(what, together, seed)
    first = _as_they_are(what, faces)
    n = len(faces)
    sheet = [
        np.concatenate([before[:, None], after.reshape(n, draws, *after.shape[1:])], axis=1)
        for before, after in zip(first, (images, keypoints), strict=True)
    ]
    ...
