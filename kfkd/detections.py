"""What was found in photos, as values, JSON and a table."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.crops import Box
from kfkd.storage.files import replacing, write_json


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face in a photo, in the photo's own upright pixels.

    Args:
        box: (x, y, w, h), the detector's; it may reach beyond the photo.
        score: the detector's.
        keypoints: float32 (k, 2), (x, y); NaN for keypoints that the run has no model for.
        names: of the keypoints.
        roll: how far the face was turned for the model, in degrees, clockwise.
        confidence: float32 (k,), how probably each keypoint lies within a 48th of the crop's width
            of the right place, see `Run.confidence`; None where the run cannot tell.
    """

    box: Box
    score: float
    keypoints: np.ndarray
    names: tuple[str, ...]
    roll: float = 0.0
    confidence: np.ndarray | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, coordinates to a hundredth of a pixel."""
        points = dict(zip(self.names, self.keypoints.tolist(), strict=True))
        made: dict[str, Any] = {
            "box": [round(v, 2) for v in self.box],
            "score": round(self.score, 4),
            "roll": round(self.roll, 2),
            "keypoints": {
                name: None if math.isnan(x) else [round(x, 2), round(y, 2)]
                for name, (x, y) in points.items()
            },
        }
        if self.confidence is None:
            return made
        told = zip(self.names, self.confidence.tolist(), strict=True)
        return {**made, "confidence": {k: None if math.isnan(v) else round(v, 4) for k, v in told}}


@dataclass(frozen=True)
class PhotoFaces:
    """The faces of one photo.

    Args:
        path: where it came from, "photo 1" for an array.
        size: (width, height) in pixels, upright; (0, 0) when it was left out.
        faces: the biggest first; none is no mistake.
        error: why it was left out, "" when it was not.
        picture: name of the file in which the faces are drawn, "" where none was.
    """

    path: str
    size: tuple[int, int]
    faces: tuple[DetectedFace, ...] = ()
    error: str = ""
    picture: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        faces = [face.as_dict() for face in self.faces]
        made = {"path": self.path, "size": list(self.size), "faces": faces}
        more = {"picture": self.picture, "error": self.error}
        return made | {key: value for key, value in more.items() if value}


def table(found: Sequence[PhotoFaces]) -> str:
    """A line a photo: how many faces, and where."""
    lines = []
    for photo in found:
        if photo.error:
            continue
        boxes = "; ".join(" ".join(f"{v:.0f}" for v in face.box) for face in photo.faces)
        count = f"{len(photo.faces)} face{'' if len(photo.faces) == 1 else 's'}"
        lines.append(f"{photo.path}: {count} ({boxes})" if boxes else f"{photo.path}: no face")
    return "\n".join(lines)


def summary(found: Sequence[PhotoFaces]) -> str:
    """One sentence about all photos."""
    faces = sum(len(photo.faces) for photo in found)
    empty = sum(not photo.faces and not photo.error for photo in found)
    broken = sum(bool(photo.error) for photo in found)
    parts = [f"{len(found)} photo{'' if len(found) == 1 else 's'}, {faces} faces"]
    parts += [f"{empty} without a face"] if empty else []
    parts += [f"{broken} left out"] if broken else []
    return ", ".join(parts)


def write_found(
    folder: str | Path,
    found: Sequence[PhotoFaces],
    names: Sequence[str],
    confidence: bool = False,
) -> list[Path]:
    """Writes faces.json and faces.csv.

    Args:
        folder: where.
        found: by photo.
        names: of the keypoints.
        confidence: whether the faces have one.

    Returns:
        The two files.
    """
    paths = [Path(folder, "faces.json"), Path(folder, "faces.csv")]
    write_json(paths[0], [photo.as_dict() for photo in found])
    # A file's name may be any bytes: those that are not UTF-8 come out as they are.
    how: Any = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with replacing(paths[1]) as beside, beside.open("w", **how) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header("file", names, confidence))
        for photo in found:
            writer.writerows(face_rows([photo.path], photo.faces))
    return paths


def header(first: str, names: Sequence[str], confidence: bool = False) -> list[str]:
    """Columns of the table: `first`, number of the face, box, score, roll, points, confidences."""
    points = [f"{name}_{axis}" for name in names for axis in "xy"]
    points += [f"{name}_confidence" for name in names if confidence]
    return [first, "face", "box_x", "box_y", "box_w", "box_h", "score", "roll", *points]


def face_rows(first: Sequence[Any], faces: Iterable[DetectedFace]) -> list[list[Any]]:
    """A row a face, numbered from 1; a keypoint that the run does not predict is left empty.

    Args:
        first: the values that a row begins with.
        faces: of one photo.
    """
    rows = []
    for number, face in enumerate(faces, 1):
        numbers = [*(f"{v:.2f}" for v in face.box), f"{face.score:.4f}", f"{face.roll:.2f}"]
        points = ["" if math.isnan(v) else f"{v:.2f}" for v in face.keypoints.ravel().tolist()]
        shares = [] if face.confidence is None else face.confidence.tolist()
        points += ["" if math.isnan(v) else f"{v:.4f}" for v in shares]
        rows.append([*first, number, *numbers, *points])
    return rows
