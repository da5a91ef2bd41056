"""What labels do that mirror images cannot teach, as a linear function of the face's shape.

Annotators are not symmetric: what one does at the right end of a brow need not be what he does at
the left one, nor at both ends of a turned face. A net that learns images and mirror images alike
answers the mean of both. What it lacks is much the same for faces of the same shape, so a ridge
regression from the answered points to what the training labels differ by, one for each label
source, takes it in. Shapes are answers without their place and size: a small face in a corner is
corrected as a large one in the middle is.
"""

from __future__ import annotations

import numpy as np

from kfkd.errors import KfkdError

_PENALTY = 30.0
LEAST_ROWS = 200
FAR = 4.0
"""Robust standard deviations from which on a label counts as if it were no further off."""
LEAST_SPREAD = 1e-3
_LARGEST = 1e3
MOST = 0.1
"""Of a face's size, the points' root mean square distance from their mean along an axis: no point
is moved by more along an axis, whatever its shape asks for."""


def fit_correction(points: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Fits a correction of answers by the labels of the same faces.

    Args:
        points: (n, p, 2) in pixels, answers.
        labels: (n, p, 2) in pixels, NaN = not labelled.

    Returns:
        float64 (2p, 2p + 1) for `corrected`; rows of zeros for points that fewer than 200 faces
        label; None where all are such, or the answers have no shape: one point, or all in a place.
    """
    if points.shape[1] < 2:
        return None
    shapes, sizes = shapes_and_sizes(points)
    off = _flat(labels - points) / sizes
    known = np.isfinite(off)
    learned = np.flatnonzero(known.sum(axis=0) >= LEAST_ROWS)
    if not len(learned):
        return None
    far = FAR * 1.4826 * float(np.median(np.abs(off[known])))
    mean, deviation = shapes.mean(axis=0), np.maximum(shapes.std(axis=0), LEAST_SPREAD)
    standard = (shapes - mean) / deviation
    found = np.zeros((off.shape[1], off.shape[1] + 1))
    for number in learned:
        own = known[:, number]
        given, wanted = standard[own], off[own, number].clip(-far, far)
        normal = given.T @ given + _PENALTY * np.eye(given.shape[1])
        weights = np.linalg.solve(normal, given.T @ (wanted - wanted.mean())) / deviation
        found[number, :-1] = weights
        found[number, -1] = wanted.mean() - given.mean(axis=0) @ (weights * deviation)
        found[number, -1] -= weights @ mean
    # Of a net that answers the same point over and over there is nothing to be learned.
    return found if np.abs(found).max() <= _LARGEST else None


def corrected(points: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Answers as the labels would have them.

    Args:
        points: (n, p, 2) in pixels.
        correction: of `fit_correction`.

    Returns:
        float32 (n, p, 2) in pixels.
    """
    shapes, sizes = shapes_and_sizes(points)
    added = sizes * (shapes @ correction[:, :-1].T + correction[:, -1]).clip(-MOST, MOST)
    return (points + added.reshape(points.shape)).astype(np.float32)


def checked_correction(correction: np.ndarray, points: int) -> np.ndarray:
    """A correction out of a file that may come from anyone.

    Args:
        correction: as the file has it.
        points: that it is to be of.

    Raises:
        KfkdError: when it is of other points, or has numbers beyond measure.
    """
    wanted = (2 * points, 2 * points + 1)
    plain = correction.shape == wanted and correction.dtype.kind == "f"
    if not plain or not (np.abs(correction) <= _LARGEST).all():
        raise KfkdError(
            f"a linear correction of {points} points wants numbers {wanted} of at most "
            f"{_LARGEST:g}. Received: {correction.dtype} {correction.shape}"
        )
    return correction.astype(np.float64)


def shapes_and_sizes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, p, 2) about their mean, (n, 2p) of mean square 1, and their sizes (n, 1)."""
    about = points - points.mean(axis=1, keepdims=True, dtype=np.float64)
    sizes = np.sqrt(np.square(about).mean(axis=(1, 2)))[:, None]
    return _flat(about) / np.maximum(sizes, 1e-6), np.maximum(sizes, 1e-6)


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), points.shape[1] * points.shape[2])
