"""How one built-in face looks: a head in three dimensions, posed, painted and photographed.

Everything is laid out in face units: pixels of an average face in a 96x96 picture, x to the right,
y down, z towards the viewer, 0 = the plane of the eyes. The pose turns them into the picture, so a
keypoint is exactly where its feature is painted, to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kfkd.lazy import cv2
from kfkd.pipelines.painting import (
    BOTTOM_LIP,
    CENTRE,
    NOSE,
    PAINT_ZOOM,
    SIZE,
    TOP_LIP,
    Canvas,
    paint_face,
)

# (x, y) for an average face at rest, in the order of KAGGLE_15 and the "full" convention. A smile
# and an open mouth move the mouth to Kaggle's mean positions on average.
_REST = np.array(
    [
        (66.4, 37.7, 0),
        (30.2, 37.9, 0),
        (59.2, 38.0, -1),
        (73.5, 37.8, -5),
        (36.7, 38.0, -1),
        (22.3, 38.0, -5),
        (56.3, 30.2, 3),
        (79.3, 30.4, -6),
        (39.3, 30.4, 3),
        (15.9, 31.0, -6),
        (48.2, 58.0, 14),
        (62.0, 76.9, 1),
        (33.9, 77.0, 1),
        (48.0, 73.0, 6),
        (48.0, 80.5, 5),
    ]
)
_FOUR_POINT_OFFSET = {NOSE: (0.0, 6.5, 0.0), BOTTOM_LIP: (0.0, -4.0, 0.0)}


class Drawn(NamedTuple):
    """A drawn face.

    Args:
        image: uint8 (96, 96).
        full: float64 (15, 2), keypoints in pixels by the convention of fully labelled rows.
        four_point: float64 (15, 2), the same by the convention of four-point rows.
    """

    image: np.ndarray
    full: np.ndarray
    four_point: np.ndarray


@dataclass(frozen=True)
class Face:
    """A face at rest: what `painting` has to know of it.

    Points are float64 (15, 3) and lengths in face units, tones grey values, beard and moustache
    densities from 0 to 1; 0 = none.
    """

    points: np.ndarray
    skin: float
    hair: float
    width: float
    chin: float
    lids: float
    iris: float
    brow: float
    lip: float
    gap: float
    teeth: bool
    hairline: float
    parting: float
    bald: bool
    long_hair: bool
    beard: float
    moustache: float
    glasses: float


def draw_face(rng: np.random.Generator) -> Drawn:
    """Draws one face; everything about it comes from `rng`.

    Args:
        rng: source of the face; the same state gives the same face.

    Returns:
        The picture and its keypoints, all of them inside the picture.

    >>> face = draw_face(np.random.default_rng(7))
    >>> face.image.shape, face.full.shape
    ((96, 96), (15, 2))
    """
    face = _sample_face(rng)
    shifted = face.points.copy()
    for point, offset in _FOUR_POINT_OFFSET.items():
        shifted[point] += offset
    pose = _sample_pose(rng, np.vstack([face.points, shifted]))
    canvas = Canvas(pose, _backdrop(rng))
    paint_face(canvas, face)
    return Drawn(_photograph(rng, canvas), pose(face.points), pose(shifted))


def _sample_face(rng: np.random.Generator) -> Face:
    gap = max(0.0, rng.normal(0.5, 5.0)) if rng.random() < 0.8 else rng.uniform(5, 11)
    smile = max(-0.6, rng.normal(0.5, 0.6))
    skin = rng.uniform(85, 225)
    hair = rng.uniform(8, 75) if rng.random() < 0.75 else rng.uniform(75, 215)
    return Face(
        points=_sample_points(rng, gap, smile),
        skin=skin,
        hair=hair,
        width=rng.normal(37.5, 2.0),
        chin=rng.normal(46, 2.0) + 0.6 * gap,
        lids=0.0 if rng.random() < 0.07 else rng.uniform(1.7, 3.6),
        iris=rng.uniform(15, 0.6 * skin),
        brow=rng.uniform(1.0, 2.4),
        lip=skin * rng.uniform(0.5, 0.85),
        gap=gap,
        teeth=bool(smile > 0.3 or rng.random() < 0.3),
        hairline=rng.normal(15, 4),
        parting=rng.normal(0, 9),
        bald=bool(rng.random() < 0.1),
        long_hair=bool(rng.random() < 0.35),
        beard=rng.uniform(0.3, 0.85) if rng.random() < 0.15 else 0.0,
        moustache=rng.uniform(0.3, 0.85) if rng.random() < 0.15 else 0.0,
        glasses=rng.uniform(0.6, 1.6) if rng.random() < 0.2 else 0.0,
    )


def _sample_points(rng: np.random.Generator, gap: float, smile: float) -> np.ndarray:
    points = _REST + rng.normal(0, 0.4, _REST.shape) * (1, 1, 0)
    side = np.sign(points[:, 0] - CENTRE[0])
    points[:6, 0] += side[:6] * rng.normal(0, 0.9)
    points[[0, 1], 0] += rng.normal(0, 0.7)
    raised, frown, spread = rng.normal(0, 1.8), rng.normal(0, 1.1), rng.normal(0, 1.2)
    points[6:10, 1] -= raised
    points[[6, 8], 1] += frown
    points[[7, 9], 0] += side[[7, 9]] * spread
    points[[6, 8], 0] += side[[6, 8]] * rng.normal(0, 1.2)
    points[NOSE, 1:] += rng.normal(0, 2.0), rng.normal(0, 2.0)
    points[11:, 1] += rng.normal(0, 1.8)
    points[11:13, 0] += side[11:13] * (2.5 * smile - 0.25 * gap + rng.normal(0, 1.5))
    points[11:13, 1] += 0.35 * gap - 2.5 * smile
    points[TOP_LIP, 1] += rng.normal(0, 0.8) - 0.6 * max(smile, 0)
    points[BOTTOM_LIP, 1] += 0.75 * gap + rng.normal(0, 0.8) - 0.4 * smile
    return points - (*CENTRE, 0.0)


class Pose:
    """Turns face units (m, 3) into pixels of the picture (m, 2): turn, scale, shift."""

    def __init__(self, yaw: float, pitch: float, roll: float, scale: float) -> None:
        (cy, cp, cr), (sy, sp, sr) = (f([yaw, pitch, roll]) for f in (np.cos, np.sin))
        turn = np.array([[cy, sy * sp, sy * cp], [0, cp, -sp]])
        self.matrix = scale * np.array([[cr, -sr], [sr, cr]]) @ turn
        self.scale = scale
        self.shift = CENTRE.copy()

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Pixels (m, 2) of points (m, 3)."""
        return points @ self.matrix.T + self.shift


def _sample_pose(rng: np.random.Generator, points: np.ndarray, margin: float = 1.0) -> Pose:
    yaw, pitch, roll = rng.normal(0, (0.2, 0.11, 0.075))
    scale = 1.02 * np.exp(rng.normal(0, 0.055))
    spread = 2.0
    if rng.random() < 0.02:
        scale, spread = scale * rng.uniform(0.5, 0.85), 7.0
    pose = Pose(np.clip(yaw, -0.6, 0.6), pitch, roll, min(scale, 1.25))
    pose.shift += rng.normal(0, spread, 2)
    seen = pose(points)
    pose.shift += np.maximum(margin - seen.min(axis=0), 0)
    pose.shift -= np.maximum(seen.max(axis=0) - (SIZE - 1 - margin), 0)
    return pose


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    cells = int(rng.integers(2, 7))
    tones = rng.uniform(20, 240) + rng.normal(0, rng.uniform(2, 45), (cells, cells))
    size = (SIZE * PAINT_ZOOM,) * 2
    return cv2.resize(np.clip(tones, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def _photograph(rng: np.random.Generator, canvas: Canvas) -> np.ndarray:
    image = cv2.resize(canvas.paint, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    relief = cv2.GaussianBlur(canvas.relief, (0, 0), 2.2 * canvas.pose.scale)
    slope = np.linspace(-1, 1, SIZE, dtype=np.float32)
    across, down = rng.normal(0, (0.25, 0.12))
    light = 1 + np.float32(across) * slope + np.float32(down) * slope[:, None]
    grey: np.ndarray = image.astype(np.float32) * relief * np.maximum(light, 0.25) / 128
    grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 1.0 if rng.random() < 0.8 else 2.2))
    grey = (grey - 128) * np.float32(rng.uniform(0.6, 1.15)) + np.float32(rng.normal(125, 18))
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    grey += noise * np.float32(rng.uniform(0.5, 6))
    photo = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 85))]
        _, coded = cv2.imencode(".jpg", photo, quality)
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return photo
