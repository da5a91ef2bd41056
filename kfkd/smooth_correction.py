"""What labels do that a linear function of the shape does not say: a smooth one that knows more.

Answers of faces that look alike to a net, of like shape, place and size and doubted at the same
points, are off their labels alike: annotators place a point that is hard to see by habit. A ridge
regression over Gaussian kernels about some hundreds of typical faces takes that in, where it
proves itself on faces that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import numpy as np

from kfkd.errors import KfkdError
from kfkd.linear_correction import FAR, LEAST_ROWS, LEAST_SPREAD, MOST, shapes_and_sizes

WIDTH = 0.3
"""A kernel is exp(-WIDTH · d²), d² the sum of the mean squared differences in standard deviations
of shape, doubts and, counted a quarter, place and size."""
LEAST_DOUBT = 0.005
"""Of the face's size: added to doubts before their logarithm is taken."""
_PLACE = 0.5
_CENTRES = 400
_PENALTY, _CAUTIOUS = 3.0, 30.0
"""Nets know some labels that they learned from by heart, so that on these less is left to be
corrected than on others: whether there is anything tells one that is ten times as cautious.
"""
_PARTS = 5
_LARGEST = 1e4
_MOST_CENTRES = 1024
_FARTHEST = 2.0
"""In sizes of the face: labels that mostly lie further off are of a net that answers no faces."""
_AT_ONCE = 4096


@dataclass(frozen=True)
class SmoothCorrection:
    """A fitted correction of p points.

    Args:
        mean: (d,), of the features of the faces that it was fitted to.
        scale: (d,), what features are multiplied by after that.
        centres: (m, d), typical faces in scaled features.
        weights: (m, 2p), of the kernels, in the face's size.
        constant: (2p,), where no kernel reaches.
    """

    mean: np.ndarray
    scale: np.ndarray
    centres: np.ndarray
    weights: np.ndarray
    constant: np.ndarray

    def corrected(self, points: np.ndarray) -> np.ndarray:
        """Answers as the labels would have them.

        Args:
            points: (n, p, 3): x, y and their doubt in pixels, NaN = unknown doubt.

        Returns:
            float32 (n, p, 2) in pixels.
        """
        parts = [points[i : i + _AT_ONCE] for i in range(0, len(points), _AT_ONCE)]
        return np.concatenate([self._corrected(part) for part in parts or [points]])

    def _corrected(self, points: np.ndarray) -> np.ndarray:
        features, sizes = _features(points.astype(np.float64), self.doubts)
        kernels = _kernels(np.nan_to_num((features - self.mean) * self.scale), self.centres)
        added = sizes * (kernels @ self.weights + self.constant).clip(-MOST, MOST)
        places = points[..., :2]
        return (places + added.reshape(places.shape)).astype(np.float32)

    @property
    def doubts(self) -> bool:
        """Whether doubts are among the features."""
        return len(self.mean) > len(self.constant) + 3

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name, as they are kept: centres in float16, as they were fitted."""
        named = dict(zip(SMOOTH_ARRAYS, astuple(self), strict=True))
        return {k: v.astype(np.float16 if k == "centres" else np.float32) for k, v in named.items()}


SMOOTH_ARRAYS = tuple(field.name for field in fields(SmoothCorrection))
"""What its arrays are called in files."""


def fit_smooth(
    points: np.ndarray, labels: np.ndarray, group: np.ndarray
) -> SmoothCorrection | None:
    """Fits a correction of answers by the labels of the same faces.

    Whether it is worth having, five parts of the faces tell, each corrected by what the others
    teach.

    Args:
        points: (n, p, 3): x, y and their doubt in pixels, NaN = unknown doubt.
        labels: (n, p, 2) in pixels, NaN = not labelled.
        group: (n,), equal for faces that belong together: they are in the same part.

    Returns:
        None where fewer than 200 faces label any point, the answers have no shape, or faces that
        it was not fitted to would not gain.
    """
    if points.shape[1] < 2 or len(points) < LEAST_ROWS:
        return None
    with_doubts = bool(np.isfinite(points[..., 2]).all())
    features, sizes = _features(points.astype(np.float64), with_doubts)
    off = (labels - points[..., :2]).reshape(len(points), -1) / sizes
    known = np.isfinite(off)
    known[:, known.sum(axis=0) < LEAST_ROWS] = False
    if not known.any() or np.median(np.abs(off[known])) > _FARTHEST:
        return None
    far = FAR * 1.4826 * float(np.median(np.abs(off[known])))
    wanted = np.where(known, off.clip(-far, far), 0.0)
    mean = features.mean(axis=0)
    scale = _shares(points.shape[1], with_doubts) / np.maximum(features.std(axis=0), LEAST_SPREAD)
    given = (features - mean) * scale
    centres = _typical(given)
    problem = _Problem(_kernels(given, centres), _kernels(centres, centres), wanted, known)
    if problem.error(_CAUTIOUS, _parts(group)) >= float(np.square(wanted).sum()):
        return None
    constant, weights = problem.solved(_PENALTY, np.ones(len(given), bool))
    found = SmoothCorrection(mean, scale, centres, weights, constant)
    return found if all((np.abs(array) <= _LARGEST).all() for array in astuple(found)) else None


@dataclass(frozen=True)
class _Problem:
    """Kernels (n, m) of faces and (m, m) of centres, what they should add up to (n, q), and where
    that is known.
    """

    kernels: np.ndarray
    between: np.ndarray
    wanted: np.ndarray
    known: np.ndarray

    def error(self, penalty: float, parts: np.ndarray) -> float:
        """The sum of squares that is left in parts that it was not fitted to."""
        total = 0.0
        for part in np.unique(parts):
            constant, weights = self.solved(penalty, parts != part)
            own = parts == part
            left = self.wanted[own] - self.kernels[own] @ weights - constant
            total += float(np.square(left[self.known[own]]).sum())
        return total

    def solved(self, penalty: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Constants (q,) and weights (m, q) by these rows; columns labelled alike at once."""
        constant = np.zeros(self.wanted.shape[1])
        weights = np.zeros((len(self.between), self.wanted.shape[1]))
        masks, like = np.unique(self.known[rows], axis=1, return_inverse=True)
        ridge = penalty * self.between + 1e-6 * np.eye(len(self.between))
        for number in range(masks.shape[1]):
            own, columns = masks[:, number], np.flatnonzero(like.ravel() == number)
            if not own.any():
                continue
            kernels, wanted = self.kernels[rows][own], self.wanted[rows][own][:, columns]
            constant[columns] = wanted.mean(axis=0)
            right = kernels.T @ (wanted - constant[columns])
            weights[:, columns] = np.linalg.solve(kernels.T @ kernels + ridge, right)
        return constant, weights


def checked_smooth(arrays: Mapping[str, np.ndarray], points: int) -> SmoothCorrection:
    """A correction out of a file that may come from anyone.

    Args:
        arrays: by the names that `SmoothCorrection.arrays` gives them.
        points: that it is to be of.

    Raises:
        KfkdError: when it is of other points, or has numbers beyond measure.
    """
    found = SmoothCorrection(*(arrays[name] for name in SMOOTH_ARRAYS))
    count = found.centres.shape[0] if found.centres.ndim == 2 else -1
    fits = any(
        [array.shape for array in astuple(found)]
        == [(d,), (d,), (count, d), (count, 2 * points), (2 * points,)]
        for d in (2 * points + 3, 3 * points + 3)
    )
    plain = fits and count <= _MOST_CENTRES and all(a.dtype.kind == "f" for a in astuple(found))
    if not plain or not all((np.abs(a) <= _LARGEST).all() for a in astuple(found)):
        told = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise KfkdError(
            f"a smooth correction of {points} points wants numbers of at most {_LARGEST:g} for "
            f"them. Received: {told}"
        )
    return SmoothCorrection(*(array.astype(np.float64) for array in astuple(found)))


def _features(points: np.ndarray, with_doubts: bool) -> tuple[np.ndarray, np.ndarray]:
    """Shape, place and size, and doubts of answers (n, p, 3); and their sizes (n, 1)."""
    shapes, sizes = shapes_and_sizes(points[..., :2])
    parts = [shapes, points[..., :2].mean(axis=1), np.log(sizes)]
    if with_doubts:
        parts.append(np.log(points[..., 2] / sizes + LEAST_DOUBT))
    return np.concatenate(parts, axis=1), sizes


def _shares(points: int, with_doubts: bool) -> np.ndarray:
    """What each standardised feature counts."""
    counts = ((2 * points, 1.0), (3, _PLACE), (points if with_doubts else 0, 1.0))
    return np.concatenate([np.full(n, share / np.sqrt(max(n, 1))) for n, share in counts])


def _kernels(given: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squares = np.square(given).sum(axis=1)[:, None] + np.square(centres).sum(axis=1)
    return np.exp(-WIDTH * np.maximum(squares - 2 * given @ centres.T, 0.0))


def _typical(given: np.ndarray) -> np.ndarray:
    """Centres of clusters of faces, as float16 has them."""
    from sklearn.cluster import KMeans

    count = min(_CENTRES, len(given) // 2, len(np.unique(given, axis=0)))
    found = KMeans(count, n_init=1, max_iter=20, random_state=0).fit(given).cluster_centers_
    return found.astype(np.float16).astype(np.float64)


def _parts(group: np.ndarray) -> np.ndarray:
    groups, own = np.unique(group, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(groups)) % _PARTS)[own.ravel()]
