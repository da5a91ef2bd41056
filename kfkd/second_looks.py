"""A second look at faces that do not stand where, or are not as large as, faces usually are.

Nets are surest of faces as most of their training images show them. Where the first answer says
that a face is small, large or aside, the image is shifted and zoomed until it is not, answered
again, and both answers are weighed by their doubts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kfkd.views import moved

_SIZE, _ASIDE = 0.1, 0.05
"""From which change of size, and from which share of the image's width aside, it is worth it."""
_MOST = 2.5
"""A face is zoomed so much at most: what asks for more is mostly no face."""
_LEAST_DOUBT = 0.05


def looked_again(
    images: np.ndarray,
    found: np.ndarray,
    usual: np.ndarray,
    answer: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Points of a first look, better where a second one was worth it.

    Args:
        images: uint8 (n, h, w, c).
        found: float32 (n, k, 3), x, y and their doubt in pixels, NaN = unknown doubt.
        usual: (k, 2) in pixels, where faces of such images usually have these points; NaN = not
            known.
        answer: images → points as in `found`.

    Returns:
        float32 (n, k, 3) as in `found`.
    """
    matrices = to_usual(found[..., :2], usual)
    rows = np.flatnonzero(unusual(matrices, images.shape[1:3]))
    if not len(rows):
        return found
    nearer = moved(images[rows], matrices[rows])
    again = brought_back(answer(nearer), matrices[rows])
    better = found.copy()
    better[rows] = weighed([found[rows], again])
    return better


def to_usual(points: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """What brings faces to where they usually are: the shift and zoom of least squares.

    Args:
        points: (n, k, 2) in pixels.
        usual: (k, 2) in pixels, NaN = not known.

    Returns:
        float64 (n, 2, 3): usual = matrix @ (x, y, 1), pixel centres in both. Where fewer than two
        points are known, or they lie in one place, nothing is zoomed.
    """
    known = np.isfinite(usual).all(axis=1)
    own, wanted = points[:, known].astype(np.float64), usual[known].astype(np.float64)
    matrices = np.zeros((len(points), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1.0
    if not known.any():
        return matrices
    centre, goal = own.mean(axis=1), wanted.mean(axis=0)
    spread = np.sqrt(np.square(own - centre[:, None]).sum(axis=(1, 2)))
    size = np.sqrt(np.square(wanted - goal).sum())
    told = (spread > 0) & (size > 0)
    zoom = np.where(told, size / np.where(told, spread, 1.0), 1.0).clip(1 / _MOST, _MOST)
    matrices[:, 0, 0] = matrices[:, 1, 1] = zoom
    matrices[:, :, 2] = goal - zoom[:, None] * centre
    return matrices


def unusual(matrices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which faces are far enough from usual to be looked at again.

    Args:
        matrices: as `to_usual` gives them.
        size: (h, w) of the images.

    Returns:
        bool (n,).
    """
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    aside = matrices[:, :, :2] @ middle + matrices[:, :, 2] - middle
    far = np.hypot(*aside.T) > _ASIDE * size[1]
    return far | (np.abs(np.log(matrices[:, 0, 0])) > _SIZE)


def brought_back(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Points of moved images in pixels of the images as they are.

    Args:
        points: (n, k, 3): x, y and their doubt in pixels.
        matrices: (n, 2, 3): moved = matrix @ (x, y, 1).

    Returns:
        float32 (n, k, 3).
    """
    moves = matrices[:, :, :2]
    places = (points[..., :2] - matrices[:, None, :, 2]) @ np.linalg.inv(moves).swapaxes(1, 2)
    doubts = points[..., 2:] / np.sqrt(np.abs(np.linalg.det(moves)))[:, None, None]
    return np.concatenate([places, doubts], axis=-1).astype(np.float32)


def weighed(looks: Sequence[np.ndarray]) -> np.ndarray:
    """Several looks in one, the surer ones counting more; variances with what is between them.

    Where one has no doubt, all count alike and the doubt stays unknown.

    Args:
        looks: (n, k, 3) each: x, y and their doubt in pixels of the same images.

    Returns:
        float64 (n, k, 3).
    """
    each = np.stack(looks).astype(np.float64)
    doubts = np.maximum(each[..., 2:], _LEAST_DOUBT)
    known = np.asarray(np.isfinite(doubts).all(axis=0))
    weights = np.where(known, 1 / np.square(np.where(known, doubts, 1.0)), 1.0)
    weights /= weights.sum(axis=0)
    mean = (weights * each).sum(axis=0)
    between = (weights * np.square(each[..., :2] - mean[..., :2])).sum(axis=0).mean(axis=-1)
    within = np.where(known[..., 0], (weights * np.square(each)).sum(axis=0)[..., 2], np.nan)
    return np.concatenate([mean[..., :2], np.sqrt(within + between)[..., None]], axis=-1)
