"""Sheets of what a mix makes of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.augment import Mix
from kfkd.drawing.sheets import face_sheet
from kfkd.faces import FaceSet
from kfkd.lazy import keras

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
    titles = ["original", *(f"draw {number}" for number in range(1, draws + 1))] * len(faces)
    title = shorten(what.name or str(what), _LETTERS * (draws + 1) * 2 // 3, placeholder=" …")
    made = [_row_of(what, faces, draws, seed)]
    return _sheet(made, _right(faces), titles=titles, columns=draws + 1, title=title)


def transforms_sheet(what: Mix, faces: FaceSet, draws: int, seed: int) -> Figure:
    """A row for each transform alone, then one for each branch of several that is no transform.

    Args:
        what: the mix.
        faces: the first one is drawn.
        draws: of each transform.
        seed: of the draws.
    """
    rows = _parts(what)
    made = [_row_of(part, faces[:1], draws, seed, step) for step, part in enumerate(rows.values())]
    titles, about = [""] * (len(made) * (draws + 1)), "each transform alone, on every draw"
    figure = _sheet(made, _right(faces), titles=titles, columns=draws + 1, title=about)
    for axes, text in zip(figure.axes[:: draws + 1], rows, strict=True):
        told = shorten(text, _LETTERS * (draws + 1), placeholder=" …")
        axes.set_title(told, loc="left", fontsize=9, pad=2)
    return figure


def _parts(what: Mix) -> dict[str, Mix]:
    """What has a row of its own, by its text."""
    parts = {}
    for transform in what.transforms:
        parts[str(transform)] = Mix([[replace(transform, p=1.0)]], what.frame)
    for branch in what.branches if len(what.branches) > 1 else ():
        if len(branch) != 1:
            alone = Mix([branch], what.frame)
            parts[f"branch: {Mix([branch])}"] = alone
    return parts


def _row_of(
    what: Mix, faces: FaceSet, draws: int, seed: int, step: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1 + draws, h, w, c) and keypoints (n, 1 + draws, k, 2): originals, then draws."""
    n = len(faces)
    before = drawn(Mix([()], what.frame), faces, seed)
    after = drawn(what, faces[np.repeat(np.arange(n), draws)], seed, step)
    images, keypoints = (
        np.concatenate([a[:, None], b.reshape(n, draws, *b.shape[1:])], axis=1)
        for a, b in zip(before, after, strict=True)
    )
    return images, keypoints


def _right(faces: FaceSet) -> list[int]:
    return [right for _, right in faces.skeleton.swaps]


def _sheet(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], right: list[int], **settings: Any
) -> Figure:
    """Faces row by row, the points of the person's right in another colour: a flip swaps them."""
    images, keypoints = (
        np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
        for parts in zip(*rows, strict=True)
    )
    rights = keypoints[:, right] if right else None
    names = ("keypoints", "of the person's right side")
    return face_sheet(images, np.delete(keypoints, right, axis=1), rights, names=names, **settings)
