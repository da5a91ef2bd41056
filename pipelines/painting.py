"""Paints the head that `drawing` has posed: canvas, outlines, and one function a feature.

All in face units, as in `drawing`; only the canvas knows where in the picture a point falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kfkd.lazy import cv2

if TYPE_CHECKING:
    from kfkd.pipelines.drawing import Face, Pose

SIZE = 96
"""Height and width of the pictures in pixels."""

PAINT_ZOOM = 2
"""How many times larger the paint of a canvas is than the picture."""

CENTRE = np.array([48.0, 54.0])
"""Where the origin of the face units lies in an average picture, (x, y) in pixels."""

# Rows of a face's points.
LEFT_EYE = (0, 2, 3)
RIGHT_EYE = (1, 4, 5)
BROWS = ((6, 7), (8, 9))
NOSE, TOP_LIP, BOTTOM_LIP = 10, 13, 14

_SUBPIXEL_BITS = 4


def paint_face(canvas: Canvas, face: Face) -> None:
    """Paints a face from back to front.

    Args:
        canvas: what is painted on; its pose says where.
        face: what is painted.
    """
    for paint in (_paint_hair_and_neck, _paint_head, _paint_beard, _paint_nose, _paint_mouth):
        paint(canvas, face)
    for eye in (LEFT_EYE, RIGHT_EYE):
        _paint_eye(canvas, face, eye)
    _paint_brows(canvas, face)
    _paint_fringe(canvas, face)
    _paint_glasses(canvas, face)


class Canvas:
    """A picture at twice the size for crisp paint and a relief, blurred later, for soft shadow.

    Args:
        pose: turns face units into pixels.
        backdrop: uint8 (192, 192), what is behind the face; painted over.
    """

    def __init__(self, pose: Pose, backdrop: np.ndarray) -> None:
        self.pose = pose
        self.paint = backdrop
        self.relief = np.full((SIZE, SIZE), 128, np.uint8)

    def fill(self, outline: np.ndarray, tone: float) -> None:
        """Fills an outline (m, 3) with a grey tone, 0 to 255."""
        grid = self._grid(outline, PAINT_ZOOM)
        cv2.fillPoly(self.paint, [grid], _grey(tone), cv2.LINE_AA, _SUBPIXEL_BITS)

    def line(self, points: np.ndarray, tone: float, width: float, closed: bool = False) -> None:
        """Draws a line through points (m, 3), `width` face units wide."""
        grid = self._grid(points, PAINT_ZOOM)
        thick = max(1, round(width * self.pose.scale * PAINT_ZOOM))
        cv2.polylines(self.paint, [grid], closed, _grey(tone), thick, cv2.LINE_AA, _SUBPIXEL_BITS)

    def shade(self, outline: np.ndarray, strength: float) -> None:
        """Lightens (strength > 0) or darkens (< 0) softly; 1 doubles the light."""
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


def _head(face: Face, grow: float = 0.0) -> np.ndarray:
    across, down, depth = _CIRCLE.T
    jaw = np.maximum(down, 0)
    x = (face.width + grow) * across * (1 - 0.22 * jaw**2)
    y = np.where(jaw > 0, face.chin, 47) * down + grow * down - 4
    return np.stack([x, y, depth - 12], axis=1)


def _paint_hair_and_neck(canvas: Canvas, face: Face) -> None:
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


def _paint_head(canvas: Canvas, face: Face) -> None:
    canvas.fill(_head(face), face.skin)
    canvas.shade(_head(face), -0.22)
    canvas.shade(_head(face, -7), 0.0)
    canvas.shade(_oval(_xyz(0, -30, 0), 20, 8), 0.12)
    for side in (-1, 1):
        canvas.shade(_oval(_xyz(side * 20, 6, 2), 8, 6), 0.12)


def _paint_beard(canvas: Canvas, face: Face) -> None:
    left, right, lip, _ = face.points[11:15]
    if face.beard:
        sides = [np.array([(side * (face.width - 2), -2, -8)]) for side in (1, -1)]
        edge = _arc(sides[0], lip + _xyz(0, 3), sides[1])
        canvas.fill(_between(_head(face)[1:16], edge), _hairy(face, face.beard))
    if face.moustache:
        above = _arc(left + _xyz(2, 1), lip - _xyz(0, 6), right + _xyz(-2, 1))
        below = _arc(left, lip + _xyz(0, 0.5), right)
        canvas.fill(_between(above, below), _hairy(face, face.moustache))


def _hairy(face: Face, density: float) -> float:
    return face.skin + (face.hair - face.skin) * density


def _paint_nose(canvas: Canvas, face: Face) -> None:
    x, y, z = face.points[NOSE]
    for side in (-1, 1):
        bridge = [(side * 3, -16, 3), (side * 9, -18, -1), (x + side * 9, y + 4, 2)]
        canvas.shade(np.array([*bridge, (x + side * 4, y, z - 6)]), -0.16)
        canvas.fill(_oval(_xyz(x + side * 3.2, y + 4.6, z - 6), 2.2, 1.2), 0.35 * face.skin)
        wing = np.array([(x + side * a, y + b, z - 9) for a, b in ((6, -1), (7.6, 2), (6, 4.8))])
        canvas.line(wing, 0.68 * face.skin, 0.6)
    canvas.shade(np.array([(-2, -20, 3), (2, -20, 3), (x + 2, y, z), (x - 2, y, z)]), 0.2)
    canvas.shade(_oval(_xyz(x, y + 6.5, 4), 7, 1.8), -0.3)
    canvas.fill(_oval(_xyz(x, y, z), 2.0, 1.7), min(250, 1.13 * face.skin))


def _paint_mouth(canvas: Canvas, face: Face) -> None:
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


def _paint_eye(canvas: Canvas, face: Face, eye: tuple[int, int, int]) -> None:
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


def _paint_brows(canvas: Canvas, face: Face) -> None:
    tone = min(0.75 * face.skin, 0.5 * (face.hair + 0.5 * face.skin))
    for brow in BROWS:
        inner, outer = face.points[list(brow)]
        spine = _arc(inner, (inner + outer) / 2 - _xyz(0, 2.6), outer)
        half = face.brow * (1 - 0.75 * _ALONG) * (0, 1, 0)
        canvas.fill(_between(spine - half, spine + half), tone)


def _paint_fringe(canvas: Canvas, face: Face) -> None:
    if face.bald:
        return
    crown = _head(face, 2)[16:]
    line = min(face.hairline, 22) - CENTRE[1]
    ends = np.array([(face.width + 2, -12, -12), (-face.width - 2, -12, -12)])
    middle = np.array([face.parting, line - 4, -4])
    left, right = (_arc(end, middle + (end - middle) * (0.6, 0.15, 0.6), middle) for end in ends)
    canvas.fill(np.vstack([crown, left, right[::-1]]), face.hair)
    canvas.shade(np.vstack([crown[4:-4], left[6:], right[::-1][:7]]), 0.1)


def _paint_glasses(canvas: Canvas, face: Face) -> None:
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
