"""Photos with the faces found in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kfkd.crop_maps import scaled_points
from kfkd.detections import DetectedFace
from kfkd.drawing.figures import PREDICTED
from kfkd.lazy import cv2
from kfkd.storage.files import replacing

BOX = "#ffd23f"
"""Colour of face boxes."""

_SMALLEST, _LARGEST = 640, 2048
"""Longest side of a drawn photo in pixels: small ones are enlarged, so that points stay apart."""

_SUBPIXEL = 4


def draw_faces(
    pixels: np.ndarray, faces: Sequence[DetectedFace], scale: float = 1.0, fit: bool = True
) -> np.ndarray:
    """A photo with boxes and keypoints.

    Args:
        pixels: uint8 (h, w, 3), RGB.
        faces: in pixels of the photo itself.
        scale: those pixels per pixel of `pixels`.
        fit: bring the picture to a size that is good to look at; else it keeps its own.

    Returns:
        uint8 (h, w, 3), RGB, 640 to 2048 pixels on its longer side where it is fitted.
    """
    picture, factor = _fitted(pixels) if fit else (pixels.copy(), 1.0)
    factor /= scale
    line = max(1, round(max(picture.shape) / 500))
    for face in faces:
        x, y, w, h = face.box
        corners = scaled_points(np.array([[x, y], [x + w, y + h]]), factor)
        first, last = _places(corners)
        cv2.rectangle(picture, first, last, _rgb(BOX), line, cv2.LINE_AA, _SUBPIXEL)
        radius = float(np.clip(0.011 * np.sqrt(w * h) * factor, 1.2, 8))
        points = scaled_points(face.keypoints.astype(np.float64), factor)
        # A point far outside, as of a net that fails, has no place on OpenCV's integer grid.
        near = (np.abs(points) < 4 * max(picture.shape)).all(axis=1)
        for place in _places(points[near]):
            for size, colour in ((radius + 0.8, "#ffffff"), (radius, PREDICTED)):
                whole = round(size * 2**_SUBPIXEL)
                cv2.circle(picture, place, whole, _rgb(colour), -1, cv2.LINE_AA, _SUBPIXEL)
    return picture


def save_picture(picture: np.ndarray, path: str | Path) -> Path:
    """Writes a picture, whole or not at all.

    Args:
        picture: uint8 (h, w, 3), RGB.
        path: ending in .jpg or .png.
    """
    from PIL import Image

    with replacing(path) as beside:
        Image.fromarray(picture).save(beside, quality=92)
    return Path(path)


def _fitted(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    height, width = pixels.shape[:2]
    longest = max(height, width)
    factor = np.clip(longest, _SMALLEST, _LARGEST) / longest
    # One pixel on its own need not become 640 × 640.
    factor = float(min(factor, 8))
    if factor == 1:
        return pixels.copy(), 1.0
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=how), factor


def _places(points: np.ndarray) -> list[tuple[int, int]]:
    """Points on OpenCV's grid of sixteenths of a pixel."""
    rows = np.rint(points * 2**_SUBPIXEL).astype(int).tolist()
    return [(x, y) for x, y in rows]


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
