"""Transforms of brightness, one image after the other, with NumPy and OpenCV.

Each takes the transform's numbers, a uint8 picture (h, w) or (h, w, 3) and a generator, and gives
the changed picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kfkd.lazy import cv2

Picture = np.ndarray
Change = Callable[[Any, Picture, np.random.Generator], Picture]

_LEVELS = np.arange(256, dtype=np.float32)


def _looked_up(picture: Picture, levels: np.ndarray) -> Picture:
    return cv2.LUT(picture, np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _each_channel(picture: Picture, change: Callable[[Picture], Picture]) -> Picture:
    if picture.ndim == 2:
        return change(picture)
    return cv2.merge([change(channel) for channel in cv2.split(picture)])


def _brightness(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    return _looked_up(picture, _LEVELS + 255 * rng.uniform(-t.share, t.share))


def _contrast(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    mean = picture.mean()
    return _looked_up(picture, mean + (_LEVELS - mean) * _log_uniform(rng, t.low, t.high))


def _gamma(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    return _looked_up(picture, 255 * (_LEVELS / 255) ** _log_uniform(rng, t.low, t.high))


def _equalize(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    return _each_channel(picture, cv2.equalizeHist)


def _clahe(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    return _each_channel(picture, cv2.createCLAHE(t.clip, (t.tiles, t.tiles)).apply)


def _blur(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    sigma = rng.uniform(t.low, t.low if t.high is None else t.high)
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0 else picture


def _motion_blur(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    side = 2 * int(np.ceil((t.length - 1) / 2)) + 1
    half, angle = (rng.uniform(1, t.length) - 1) / 2, rng.uniform(0, np.pi)
    along = half * np.array([np.cos(angle), np.sin(angle)])
    start, end = (np.rint(side // 2 + sign * along).astype(int).tolist() for sign in (-1, 1))
    line = np.asarray(cv2.line(np.zeros((side, side), np.float32), start, end, (1.0,)))
    return cv2.filter2D(picture, -1, line / line.sum())


def _sharpen(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    amount = rng.uniform(0, t.amount)
    return cv2.addWeighted(picture, 1 + amount, cv2.GaussianBlur(picture, (0, 0), 1), -amount, 0)


def _noise(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    low, high = (0, t.low) if t.high is None else (t.low, t.high)
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(low, high))
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def _jpeg(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    quality = int(rng.uniform(t.low, t.high))
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED))


def _cut_out(t: Any, picture: Picture, rng: np.random.Generator) -> Picture:
    picture = picture.copy()
    for _ in range(t.patches):
        within = []
        for length in picture.shape[:2]:
            half, centre = rng.uniform(t.low, t.high) * length / 2, rng.uniform(-0.5, length - 0.5)
            ends = np.ceil([centre - half, centre + half]).astype(int)
            within.append(slice(*ends.clip(0, length).tolist()))
        picture[tuple(within)] = rng.integers(256)
    return picture


CHANGES: Mapping[str, Change] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "gamma": _gamma,
    "equalize": _equalize,
    "clahe": _clahe,
    "blur": _blur,
    "motion_blur": _motion_blur,
    "sharpen": _sharpen,
    "noise": _noise,
    "jpeg": _jpeg,
    "cut_out": _cut_out,
}
"""Every photometric transform by the name that a mix calls it."""
