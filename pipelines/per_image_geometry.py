"""Geometry of one image: random matrices, Simard's elastic field, and points moved by both."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from kfkd.augment import Crop, Elastic, Flip, Geometric, Perspective, Rotate, Scale, Shear, Shift
from kfkd.errors import KfkdError
from kfkd.lazy import cv2

_STEPS = 4
Field = tuple[np.ndarray, np.ndarray]


def cv2_border(name: str) -> int:
    """OpenCV's number of what a frame calls its border."""
    names = {"constant": "CONSTANT", "edge": "REPLICATE", "reflect": "REFLECT_101"}
    return getattr(cv2, f"BORDER_{names[name]}")


def simard_field(transform: Elastic, size: tuple[int, int], rng: np.random.Generator) -> Field:
    """A random displacement of every pixel, smoothed: Simard et al. (2003).

    Args:
        transform: how far and how smooth.
        size: (h, w) in pixels.
        rng: draws.

    Returns:
        Displacements in x and in y, float32 (h, w).
    """
    # The middle of the waves' lengths; smoothing by a Gaussian lets waves above 2 pi sigma pass.
    sigma = transform.wave * size[1] * sqrt(2) / (2 * pi)
    height = transform.amount * size[1] * 2 * sigma * sqrt(pi)
    noise = [rng.standard_normal(size, np.float32) * np.float32(height) for _ in "xy"]
    x, y = (cv2.GaussianBlur(part, (0, 0), sigma) for part in noise)
    return x, y


def moved_points(keypoints: np.ndarray, matrix: np.ndarray, field: Field | None) -> np.ndarray:
    """Points moved by a matrix, then against a field of displacements.

    Args:
        keypoints: (k, 2) in pixels.
        matrix: (3, 3).
        field: as `simard_field` gives it; None = no.

    Returns:
        float64 (k, 2).
    """
    points = cv2.perspectiveTransform(keypoints[None].astype(np.float64), matrix)[0]
    if field is None:
        return points
    here = points
    for _ in range(_STEPS):
        x, y = (here[:, None, axis].astype(np.float32) for axis in (0, 1))
        by = [
            cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
            for part in field
        ]
        here = points - np.stack(by, axis=1)
    return here


def random_matrix(
    transform: Geometric, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """A random matrix that moves points.

    Args:
        transform: what.
        size: (h, w) in pixels.
        rng: draws.

    Returns:
        (3, 3), homogeneous coordinates from the image's centre in pixels.

    Raises:
        KfkdError: for an unknown transform.
    """
    height, width = size
    a, b = rng.uniform(-1, 1, 2)
    match transform:
        case Flip():
            return np.diag([-1.0, 1.0, 1.0])
        case Rotate(degrees=degrees, alternate=alternate):
            angle = np.deg2rad(degrees * (np.sign(a) if alternate else a))
            cos, sin = np.cos(angle), np.sin(angle)
            return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        case Shift(share=share):
            return np.array([[1, 0, a * share * width], [0, 1, b * share * height], [0, 0, 1]])
        case Scale(low=low, high=high, aspect=aspect):
            factor, stretch = np.exp(rng.uniform(np.log(low), np.log(high))), aspect ** (a / 2)
            return np.diag([factor * stretch, factor / stretch, 1])
        case Shear(share=share):
            return np.array([[1, a * share, 0], [b * share, 1, 0], [0, 0, 1]])
        case Perspective(share=share):
            return np.array(
                [[1, 0, 0], [0, 1, 0], [2 * a * share / width, 2 * b * share / height, 1]]
            )
        case Crop(low=low, high=high):
            window = rng.uniform(low, high)
            room = (1 - window) / 2 / window
            x, y = a * room * width, b * room * height
            return np.array([[1 / window, 0, x], [0, 1 / window, y], [0, 0, 1]])
    raise KfkdError(f"per-image code has no {transform.name}")
