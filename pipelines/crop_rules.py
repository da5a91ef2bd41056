"""Crop rules of the data sets, as measured, and measuring one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.crops import GIVEN, CropRule, Face, rule_from
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.pipelines.detectors import Detector
from kfkd.storage.files import read_json

_TABLE = Path(__file__).with_name("crop_rules.json")
_LIKE = {"synthetic": "kaggle", "own": "kaggle", "folder": "kaggle"}
_BOXED = ("ibug", "pts")
"""Data sets of photos whose faces are cropped by boxes; the others show whole photos, but for
folders of one's own, whose faces carry their rule."""

_CHUNK = 256


@dataclass(frozen=True)
class Fit:
    """What a detector saw of a data set.

    Args:
        detector: its name.
        found: images with a face in the middle.
        missed: images without.
        frame: (dx, dy, side), medians; see `CropRule.frames`.
        spread: their standard deviations.
        landmarks: (5, 2) medians in pixels of the image, None where the detector gives none.
    """

    detector: str
    found: int
    missed: int
    frame: tuple[float, float, float]
    spread: tuple[float, float, float]
    landmarks: np.ndarray | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "found": self.found,
            "missed": self.missed,
            "frame": list(self.frame),
            "spread": list(self.spread),
            "landmarks": None if self.landmarks is None else self.landmarks.tolist(),
        }


def crop_rule(origin: str) -> CropRule:
    """How the faces of a data set were cut out of photos.

    Built-in faces, arrays and folders of one's own without boxes count as Kaggle's.

    Args:
        origin: `FaceSet.origin`, such as "kaggle".

    Raises:
        KfkdError: when no rule was measured for it.

    Example:
        >>> crop_rule("kaggle").size
        (96, 96)
    """
    rules = _rules()
    name = _LIKE.get(origin, origin)
    if name not in rules:
        raise KfkdError(
            f"no crop rule is known for {origin!r}, only for {', '.join(rules)}; what `kfkd bench "
            'crops` measures may stand in run.json as "crop"'
        )
    return rule_from(rules[name])


def crop_rule_of(origin: str, path: str = "") -> CropRule:
    """How the faces of the data that a run learned from were cut out of photos.

    Its frame "given:ORIGIN" is that of the data set's own boxes, where it has some.

    Args:
        origin: `FaceSet.origin`.
        path: `FaceSet.path`; a margin other than the usual one in it shows more or less of a face.

    Raises:
        KfkdError: when no rule was measured for the origin, or the path makes no sense.
    """
    from kfkd.pipelines.photo_sources import KINDS
    from kfkd.pipelines.source_text import photo_source

    rule = crop_rule(origin)
    if not boxed(origin):
        return rule
    usual = KINDS[origin].margin
    rule = replace(rule, frames={**rule.frames, GIVEN + origin: (0.0, 0.0, 1 + 2 * usual)})
    named = photo_source(path)
    margin = usual if named is None else named[2].get("margin", usual)
    if not -0.5 < margin < math.inf:  # out of a run.json, which may hold anything
        raise KfkdError(f"margin wants a share above -0.5. Received: {margin}")
    return rule if margin == usual else rule.zoomed((1 + 2 * usual) / (1 + 2 * margin))


def boxed(origin: str) -> bool:
    """Whether a data set gives boxes whose place around a face is known."""
    return origin in _BOXED


@cache
def _rules() -> dict[str, Any]:
    return read_json(_TABLE)


def fit_rule(faces: FaceSet, detector: Detector) -> Fit:
    """Measures how a data set's images lie around the faces that a detector finds in them.

    Args:
        faces: images that each show one face.
        detector: whose boxes are measured.

    Returns:
        Medians over the images with a face in the middle.

    Raises:
        KfkdError: when it finds a face in fewer than ten images.
    """
    seen: list[Face] = []
    for start in range(0, len(faces), _CHUNK):
        found = middle_faces(faces.images[start : start + _CHUNK], detector)
        seen += [face for face in found if face is not None]
    if len(seen) < 10:
        message = f"{detector.name} finds faces in {len(seen)} of {len(faces)} images, wanted 10"
        raise KfkdError(message)
    height, width = faces.images.shape[1:3]
    x, y, w, h = np.array([face.box for face in seen]).T
    side = np.sqrt(height * width / (w * h))
    frames = np.stack([((width - 1) / 2 - x) / w - 0.5, ((height - 1) / 2 - y) / h - 0.5, side])
    marks = [face.landmarks for face in seen if face.landmarks is not None]
    return Fit(
        detector=detector.name,
        found=len(seen),
        missed=len(faces) - len(seen),
        frame=_three(np.median(frames, axis=1)),
        spread=_three(frames.std(axis=1)),
        landmarks=np.median(marks, axis=0).round(2) if marks else None,
    )


def _three(values: np.ndarray) -> tuple[float, float, float]:
    a, b, c = values.round(4).tolist()
    return a, b, c


def middle_faces(images: np.ndarray, detector: Detector) -> list[Face | None]:
    """The biggest face of each image whose box holds the image's middle, in its pixels.

    Args:
        images: uint8 (n, h, w, 1 or 3); continued at their edges by half their side, since
            detectors want to see more than a face.
        detector: finds them.

    Returns:
        For each image its face, None where none was found.
    """
    height, width, channels = images.shape[1:]
    rows, columns = height // 2, width // 2
    colour = np.repeat(images, 3, axis=3) if channels == 1 else images
    wide = np.pad(colour, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode="edge")
    middle = (width - 1) / 2, (height - 1) / 2
    seen = []
    for faces in detector(list(wide)):
        moved = [_shifted(face, np.array([-columns, -rows])) for face in faces]
        seen.append(next((face for face in moved if _holds(face, middle)), None))
    return seen


def _shifted(face: Face, shift: np.ndarray) -> Face:
    x, y, w, h = face.box
    marks = None if face.landmarks is None else face.landmarks + shift
    return Face((x + shift[0], y + shift[1], w, h), face.score, marks)


def _holds(face: Face, point: Sequence[float]) -> bool:
    """Whether a point is in the middle half of the box."""
    x, y, w, h = face.box
    return abs(point[0] - x - w / 2) < w / 4 and abs(point[1] - y - h / 2) < h / 4
