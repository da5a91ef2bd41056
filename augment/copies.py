"""Transformed copies of a whole set, made once: the Kaggle study's way to augment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kfkd.augment.mixes import mix
from kfkd.augment.mixing import Mix
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.lazy import keras

_CHUNK = 256


def copied(faces: FaceSet, what: str | Mix, *, times: int = 1, seed: int = 0) -> FaceSet:
    """Copies of all faces, one for each branch of a mix.

    Copies keep group, source and id of their face, so a later split cannot tear them apart; split
    first all the same, copies are no images to measure on.

    Args:
        faces: the originals.
        what: mix, as `kfkd.augment.mix` takes it; `study_4x` gives originals, turned, blurred and
            equalised ones.
        times: how often; draws differ from time to time.
        seed: of the draws.

    Returns:
        `times` × branches × len(faces) faces: all of the first branch, all of the second, ….

    Raises:
        KfkdError: when the images are lazy ones, or times is no number of times.

    Example:
        >>> from kfkd.pipelines.synthetic import synthetic_faces
        >>> len(copied(synthetic_faces(10), "study_4x"))
        40
    """
    if not isinstance(faces.images, np.ndarray):
        raise KfkdError(
            f"copies want images in memory, these {len(faces)} are left in their files: augment "
            "them on the fly instead (copies=False)"
        )
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        raise KfkdError(f"copies want a whole number of times, 1 at least. Received: {times!r}")
    chosen = mix(what)
    parts = [
        _pass(faces, Mix([branch], chosen.frame), seed, step * len(chosen.branches) + number)
        for step in range(times)
        for number, branch in enumerate(chosen.branches)
    ]
    many = np.tile(np.arange(len(faces)), len(parts))
    images, keypoints = (np.concatenate(values) for values in zip(*parts, strict=True))
    facts = {name: getattr(faces, name)[many] for name in ("source", "group", "ids")}
    # Copies that were moved have no place in a photo any more.
    return replace(faces, images=images, keypoints=keypoints, photos=None, **facts)


def _pass(faces: FaceSet, branch: Mix, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    if not branch.transforms and branch.frame.size is None:
        return faces.images, faces.keypoints
    augment, drawn = branch.bind(faces.skeleton), np.array([seed, step], np.int32)
    made: list[tuple[Any, Any]] = []
    for first in range(0, len(faces), _CHUNK):
        rows = np.arange(first, min(first + _CHUNK, len(faces)), dtype=np.int32)
        batch = augment(faces.images[rows], faces.keypoints[rows], drawn, rows)
        made.append(tuple(map(keras.ops.convert_to_numpy, batch)))
    images, keypoints = (np.concatenate(values) for values in zip(*made, strict=True))
    return images, keypoints
