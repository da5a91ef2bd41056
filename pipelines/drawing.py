"""How one built-in face looks: a head in three dimensions, posed, painted and photographed.

Everything is laid out in face units: pixels of an average face in a 96x96 picture, x to the right,
y down, z towards the viewer, 0 = the plane of the eyes. The pose turns them into the picture, so a
keypoint is exactly where its feature is painted, to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SIZE = 96
_CENTRE = np.array([48.0, 54.0])
_SUBPIXEL_BITS = 4
_PAINT_ZOOM = 2

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
_LEFT_EYE = (0, 2, 3)
_RIGHT_EYE = (1, 4, 5)
_BROWS = ((6, 7), (8, 9))
_NOSE, _LEFT_MOUTH, _RIGHT_MOUTH, _TOP_LIP, _BOTTOM_LIP = range(10, 15)
_FOUR_POINT_OFFSET = {_NOSE: (0.0, 6.5, 0.0), _BOTTOM_LIP: (0.0, -4.0, 0.0)}


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
class _Face:
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
    canvas = _Canvas(pose, _backdrop(rng))
    for paint in (_paint_hair_and_neck, _paint_head, _paint_beard, _paint_nose, _paint_mouth):
        paint(canvas, face)
    for eye in (_LEFT_EYE, _RIGHT_EYE):
        _paint_eye(canvas, face, eye)
    _paint_brows(canvas, face)
    _paint_fringe(canvas, face)
    _paint_glasses(canvas, face)
    return Drawn(_photograph(rng, canvas), pose(face.points), pose(shifted))


def _sample_face(rng: np.random.Generator) -> _Face:
    gap = max(0.0, rng.normal(0.5, 5.0)) if rng.random() < 0.8 else rng.uniform(5, 11)
    smile = max(-0.6, rng.normal(0.5, 0.6))
    skin = rng.uniform(85, 225)
    hair = rng.uniform(8, 75) if rng.random() < 0.75 else rng.uniform(75, 215)
    return _Face(
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
    side = np.sign(points[:, 0] - _CENTRE[0])
    points[:6, 0] += side[:6] * rng.normal(0, 0.9)
    points[[0, 1], 0] += rng.normal(0, 0.7)
    raised, frown, spread = rng.normal(0, 1.8), rng.normal(0, 1.1), rng.normal(0, 1.2)
    points[6:10, 1] -= raised
    points[[6, 8], 1] += frown
    points[[7, 9], 0] += side[[7, 9]] * spread
    points[[6, 8], 0] += side[[6, 8]] * rng.normal(0, 1.2)
    points[_NOSE, 1:] += rng.normal(0, 2.0), rng.normal(0, 2.0)
    points[11:, 1] += rng.normal(0, 1.8)
    points[11:13, 0] += side[11:13] * (2.5 * smile - 0.25 * gap + rng.normal(0, 1.5))
    points[11:13, 1] += 0.35 * gap - 2.5 * smile
    points[_TOP_LIP, 1] += rng.normal(0, 0.8) - 0.6 * max(smile, 0)
    points[_BOTTOM_LIP, 1] += 0.75 * gap + rng.normal(0, 0.8) - 0.4 * smile
    return points - (*_CENTRE, 0.0)


class _Pose:
    """Turns face units (m, 3) into pixels of the picture (m, 2): turn, scale, shift."""

    def __init__(self, yaw: float, pitch: float, roll: float, scale: float) -> None:
        (cy, cp, cr), (sy, sp, sr) = (f([yaw, pitch, roll]) for f in (np.cos, np.sin))
        turn = np.array([[cy, sy * sp, sy * cp], [0, cp, -sp]])
        self.matrix = scale * np.array([[cr, -sr], [sr, cr]]) @ turn
        self.scale = scale
        self.shift = _CENTRE.copy()

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return points @ self.matrix.T + self.shift


def _sample_pose(rng: np.random.Generator, points: np.ndarray, margin: float = 1.0) -> _Pose:
    yaw, pitch, roll = rng.normal(0, (0.2, 0.11, 0.075))
    scale = 1.02 * np.exp(rng.normal(0, 0.055))
    spread = 2.0
    if rng.random() < 0.02:
        scale, spread = scale * rng.uniform(0.5, 0.85), 7.0
    pose = _Pose(np.clip(yaw, -0.6, 0.6), pitch, roll, min(scale, 1.25))
    pose.shift += rng.normal(0, spread, 2)
    seen = pose(points)
    pose.shift += np.maximum(margin - seen.min(axis=0), 0)
    pose.shift -= np.maximum(seen.max(axis=0) - (SIZE - 1 - margin), 0)
    return pose


class _Canvas:
    """A picture at twice the size for crisp paint and a relief, blurred later, for soft shadow."""

    def __init__(self, pose: _Pose, backdrop: np.ndarray) -> None:
        self.pose = pose
        self.paint = backdrop
        self.relief = np.full((SIZE, SIZE), 128, np.uint8)

    def fill(self, outline: np.ndarray, tone: float) -> None:
        import cv2

        grid = self._grid(outline, _PAINT_ZOOM)
        cv2.fillPoly(self.paint, [grid], _grey(tone), cv2.LINE_AA, _SUBPIXEL_BITS)

    def line(self, points: np.ndarray, tone: float, width: float, closed: bool = False) -> None:
        import cv2

        grid = self._grid(points, _PAINT_ZOOM)
        thick = max(1, round(width * self.pose.scale * _PAINT_ZOOM))
        cv2.polylines(self.paint, [grid], closed, _grey(tone), thick, cv2.LINE_AA, _SUBPIXEL_BITS)

    def shade(self, outline: np.ndarray, strength: float) -> None:
        """Lightens (strength > 0) or darkens (< 0) softly; 1 doubles the light."""
        import cv2

        grid = self._grid(outline, 1)
        cv2.fillPoly(self.relief, [grid], _grey(128 * (1 + strength)), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _grid(self, points: np.ndarray, zoom: int) -> np.ndarray:
        # Pixel centres are whole numbers at every size, hence the halves.
        pixels = (self.pose(points) + 0.5) * zoom - 0.5
        return np.rint(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _grey(tone: float) -> int:
    return int(min(max(tone, 0), 255))


_TURN = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN), np.zeros(32)], axis=1)
_ALONG = np.linspace(0, 1, 13)[:, None]
_BULGE = np.sin(np.pi * _ALONG)


def _xyz(x: float, y: float, z: float = 0.0) -> np.ndarray:
    return np.array((x, y, z))


def _oval(centre: np.ndarray, rx: float, ry: float) -> np.ndarray:
    return _CIRCLE * _xyz(rx, ry) + centre


def _arc(start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A parabola through three points, (13, 3)."""
    sag = middle - (start + end) / 2
    return start + (end - start) * _ALONG + 4 * _ALONG * (1 - _ALONG) * sag


def _between(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return np.vstack([upper, lower[::-1]])


def _head(face: _Face, grow: float = 0.0) -> np.ndarray:
    across, down, depth = _CIRCLE.T
    jaw = np.maximum(down, 0)
    x = (face.width + grow) * across * (1 - 0.22 * jaw**2)
    y = np.where(jaw > 0, face.chin, 47) * down + grow * down - 4
    return np.stack([x, y, depth - 12], axis=1)


def _paint_hair_and_neck(canvas: _Canvas, face: _Face) -> None:
    w = face.width
    if not face.bald:
        canvas.fill(_head(face, 6) + _xyz(0, -4, -8), face.hair)
        if face.long_hair:
            sides = [(-w - 7, -8), (w + 7, -8), (w + 9, 70), (-w - 9, 70)]
            canvas.fill(np.array([(x, y, -20) for x, y in sides]), face.hair * 0.9)
    neck = [(-22, 20), (22, 20), (25, 75), (-25, 75)]
    canvas.fill(np.array([(x, y, -22) for x, y in neck]), 0.72 * face.skin)
    shoulders = [(-75, 90), (-60, 62), (-22, 50), (0, 58), (22, 50), (60, 62), (75, 90)]
    canvas.fill(np.array([(x, y, -25) for x, y in shoulders]), 255 - face.skin * 0.9)
    if not face.long_hair:
        for side in (-1, 1):
            canvas.fill(_oval(_xyz(side * (w + 1.5), -8, -20), 4.5, 9), 0.85 * face.skin)


def _paint_head(canvas: _Canvas, face: _Face) -> None:
    canvas.fill(_head(face), face.skin)
    canvas.shade(_head(face), -0.22)
    canvas.shade(_head(face, -7), 0.0)
    canvas.shade(_oval(_xyz(0, -30, 0), 20, 8), 0.12)
    for side in (-1, 1):
        canvas.shade(_oval(_xyz(side * 20, 6, 2), 8, 6), 0.12)


def _paint_beard(canvas: _Canvas, face: _Face) -> None:
    left, right, lip, _ = face.points[11:15]
    if face.beard:
        sides = [np.array([(side * (face.width - 2), -2, -8)]) for side in (1, -1)]
        edge = _arc(sides[0], lip + _xyz(0, 3), sides[1])
        canvas.fill(_between(_head(face)[1:16], edge), _hairy(face, face.beard))
    if face.moustache:
        above = _arc(left + _xyz(2, 1), lip - _xyz(0, 6), right + _xyz(-2, 1))
        below = _arc(left, lip + _xyz(0, 0.5), right)
        canvas.fill(_between(above, below), _hairy(face, face.moustache))


def _hairy(face: _Face, density: float) -> float:
    return face.skin + (face.hair - face.skin) * density


def _paint_nose(canvas: _Canvas, face: _Face) -> None:
    x, y, z = face.points[_NOSE]
    for side in (-1, 1):
        bridge = [(side * 3, -16, 3), (side * 9, -18, -1), (x + side * 9, y + 4, 2)]
        canvas.shade(np.array([*bridge, (x + side * 4, y, z - 6)]), -0.16)
        canvas.fill(_oval(_xyz(x + side * 3.2, y + 4.6, z - 6), 2.2, 1.2), 0.35 * face.skin)
        wing = np.array([(x + side * a, y + b, z - 9) for a, b in ((6, -1), (7.6, 2), (6, 4.8))])
        canvas.line(wing, 0.68 * face.skin, 0.6)
    canvas.shade(np.array([(-2, -20, 3), (2, -20, 3), (x + 2, y, z), (x - 2, y, z)]), 0.2)
    canvas.shade(_oval(_xyz(x, y + 6.5, 4), 7, 1.8), -0.3)
    canvas.fill(_oval(_xyz(x, y, z), 2.0, 1.7), min(250, 1.13 * face.skin))


def _paint_mouth(canvas: _Canvas, face: _Face) -> None:
    left, right, top, bottom = face.points[11:15]
    height = bottom[1] - top[1]
    closed = max(height - face.gap, 3.0)
    upper, lower = top + _xyz(0, 0.45 * closed), bottom - _xyz(0, 0.55 * closed)
    outer, inner = _arc(left, top, right), _arc(left, upper, right)
    under, edge = _arc(left, lower, right), _arc(left, bottom, right)
    canvas.shade(_oval(_xyz(bottom[0], bottom[1] + 3.5, 2), 9, 2), -0.2)
    canvas.fill(_between(outer, edge), face.lip)
    canvas.fill(_between(outer, inner), face.lip * 0.85)
    if face.gap > 1.5:
        canvas.fill(_between(inner, under), 0.25 * face.lip)
        if face.teeth:
            canvas.fill(_between(inner, inner + 0.65 * (under - inner)), min(245, face.skin + 70))
    else:
        canvas.line((inner + under) / 2, 0.4 * face.lip, 0.7)


def _paint_eye(canvas: _Canvas, face: _Face, eye: tuple[int, int, int]) -> None:
    pupil, inner, outer = face.points[list(eye)]
    width = abs(outer[0] - inner[0])
    canvas.shade(_oval(_xyz(pupil[0], pupil[1] - 3, 0), 8, 5), -0.18)
    base = inner + (outer - inner) * _ALONG
    opening = (pupil - (inner + outer) / 2) * (0, 1, 0) * _BULGE
    upper = base + opening - _xyz(0, face.lids) * _BULGE
    lower = base + opening + _xyz(0, 0.75 * face.lids) * _BULGE
    if face.lids:
        canvas.fill(_between(upper, lower), min(245, 0.35 * face.skin + 135))
        disc = _oval(pupil, 0.23 * width, 0.23 * width)
        along = np.clip((disc[:, 0] - inner[0]) / (outer[0] - inner[0]), 0, 1)
        lids = (np.interp(along, _ALONG[:, 0], lid[:, 1]) for lid in (upper, lower))
        disc[:, 1] = np.clip(disc[:, 1], *lids)
        canvas.fill(disc, face.iris)
        canvas.fill(_oval(pupil, 0.09 * width, min(0.09 * width, 0.6 * face.lids)), 8)
        canvas.line(lower, 0.75 * face.skin, 0.5)
    canvas.line(upper, 0.3 * face.skin, 0.9)
    canvas.line(upper - _xyz(0, 1.8), 0.78 * face.skin, 0.5)


def _paint_brows(canvas: _Canvas, face: _Face) -> None:
    tone = min(0.75 * face.skin, 0.5 * (face.hair + 0.5 * face.skin))
    for brow in _BROWS:
        inner, outer = face.points[list(brow)]
        spine = _arc(inner, (inner + outer) / 2 - _xyz(0, 2.6), outer)
        half = face.brow * (1 - 0.75 * _ALONG) * (0, 1, 0)
        canvas.fill(_between(spine - half, spine + half), tone)


def _paint_fringe(canvas: _Canvas, face: _Face) -> None:
    if face.bald:
        return
    crown = _head(face, 2)[16:]
    line = min(face.hairline, 22) - _CENTRE[1]
    ends = np.array([(face.width + 2, -12, -12), (-face.width - 2, -12, -12)])
    middle = np.array([face.parting, line - 4, -4])
    left, right = (_arc(end, middle + (end - middle) * (0.6, 0.15, 0.6), middle) for end in ends)
    canvas.fill(np.vstack([crown, left, right[::-1]]), face.hair)
    canvas.shade(np.vstack([crown[4:-4], left[6:], right[::-1][:7]]), 0.1)


def _paint_glasses(canvas: _Canvas, face: _Face) -> None:
    if not face.glasses:
        return
    tone = 0.3 * face.hair
    for x, y, z in face.points[:2]:
        rim = _oval(_xyz(np.sign(x) * 18.5, y + 1.5, z + 3), 11, 8.5)
        canvas.line(rim, tone, face.glasses, closed=True)
        temple = np.array([(np.sign(x) * 29.5, y, z), (np.sign(x) * (face.width + 2), y - 3, -16)])
        canvas.line(temple, tone, face.glasses)
    bridge = np.array([(-7.5, -17, 5), (0, -18.5, 7), (7.5, -17, 5)])
    canvas.line(bridge, tone, face.glasses)


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    import cv2

    cells = int(rng.integers(2, 7))
    tones = rng.uniform(20, 240) + rng.normal(0, rng.uniform(2, 45), (cells, cells))
    size = (SIZE * _PAINT_ZOOM,) * 2
    return cv2.resize(np.clip(tones, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def _photograph(rng: np.random.Generator, canvas: _Canvas) -> np.ndarray:
    import cv2

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
