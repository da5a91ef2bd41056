"""From decoded photos to keypoints: face box, crop, model, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from kfkd.crop_maps import crop_matrix, inverse, place, roll_of, scaled_points
from kfkd.crops import CropRule, Face
from kfkd.detections import DetectedFace
from kfkd.errors import KfkdError, RunError
from kfkd.pipelines.crop_frames import with_boxes_of
from kfkd.pipelines.cropping import crop_faces
from kfkd.pipelines.detectors import Detector
from kfkd.pipelines.photos import Photo
from kfkd.runs import Run

Which = Literal["all", "biggest"]


class KeypointFinder:
    """Finds the faces of photos and their keypoints, many photos at a time.

    Args:
        run: whose models and crop rule.
        detector: finds the faces.
        faces: "all", or only the "biggest" of each photo.
        refine: times that a face is turned upright by its predicted eyes and predicted anew; for
            detectors that give boxes alone.

    Raises:
        KfkdError: when an option is not one of these.
        RunError: when the run's models take no 1- or 3-channel images.
    """

    def __init__(self, run: Run, detector: Detector, faces: Which = "all", refine: int = 0) -> None:
        if faces not in ("all", "biggest"):
            raise KfkdError(f"faces is all or biggest. Received: {faces!r}")
        if refine < 0 or (refine and run.skeleton.eyes is None):
            raise KfkdError(f"refine wants 0 or more, and a skeleton with eyes. Received: {refine}")
        self.run, self.detector, self.refine = run, detector, refine
        self._all = faces == "all"
        rule, self._channels = _rule_and_channels(run)
        self.rule = with_boxes_of(rule, detector.name)

    def __call__(self, photos: Sequence[Photo]) -> list[tuple[DetectedFace, ...]]:
        """The faces of each photo and their keypoints, in its own pixels.

        Args:
            photos: decoded; how many fit into memory is the caller's care.
        """
        return self.keypoints(photos, self.boxes(photos))

    def keypoints(
        self, photos: Sequence[Photo], boxed: Sequence[Sequence[Face]]
    ) -> list[tuple[DetectedFace, ...]]:
        """What comes after the detector: crops, the models, and the way back.

        Args:
            photos: decoded.
            boxed: the faces of each, in pixels of `Photo.pixels`, as `boxes` gives them.
        """
        owners = [i for i, faces in enumerate(boxed) for _ in faces]
        faces = [face for faces in boxed for face in faces]
        matrices = [crop_matrix(face, self.rule, self.detector.name) for face in faces]
        points = self._predict(photos, owners, matrices)
        for _ in range(self.refine):
            rolls = [self._roll(p, m) for p, m in zip(points, matrices, strict=True)]
            pairs = zip(faces, rolls, strict=True)
            matrices = [crop_matrix(f, self.rule, self.detector.name, roll) for f, roll in pairs]
            points = self._predict(photos, owners, matrices)
        found: list[list[DetectedFace]] = [[] for _ in photos]
        for i, face, matrix, crop_points in zip(owners, faces, matrices, points, strict=True):
            found[i].append(self._in_photo(photos[i], face, matrix, crop_points))
        return [tuple(faces) for faces in found]

    def boxes(self, photos: Sequence[Photo]) -> list[list[Face]]:
        """The faces of each photo as the detector sees them, in pixels of `Photo.pixels`.

        Args:
            photos: decoded.
        """
        if self.detector.boxes:
            given = [(photo, self.detector.given(photo.path)) for photo in photos]
            found = [[Face(b).scaled(1 / photo.scale) for b in boxes] for photo, boxes in given]
        else:
            found = self.detector([photo.pixels for photo in photos])
        if self._all:
            return found
        return [sorted(faces, key=lambda f: -f.box[2] * f.box[3])[:1] for faces in found]

    def crops(
        self, photos: Sequence[Photo], owners: Sequence[int], matrices: Sequence[np.ndarray]
    ) -> np.ndarray:
        """What the models get to see.

        Args:
            photos: decoded.
            owners: for each crop its photo's place in `photos`.
            matrices: for each crop the map (2, 3) from `Photo.pixels` to it.

        Returns:
            uint8 (n, h, w, c).
        """
        size = self.rule.size
        made = [
            crop_faces(photos[i].pixels, [matrix], size, self._channels)
            for i, matrix in zip(owners, matrices, strict=True)
        ]
        return np.concatenate([np.empty((0, *size, self._channels), np.uint8), *made])

    def _predict(
        self, photos: Sequence[Photo], owners: Sequence[int], matrices: Sequence[np.ndarray]
    ) -> np.ndarray:
        """(n, k, 3): x, y in pixels of the crops, and confidence, NaN where the run has none."""
        crops = self.crops(photos, owners, matrices)
        if self.run.calibration is None:
            points = self.run.predict(crops)
            return np.concatenate([points, np.full_like(points[..., :1], np.nan)], axis=-1)
        points, doubt = self.run.predict_with_doubt(crops)
        return np.concatenate([points, self.run.confidence(doubt)[..., None]], axis=-1)

    def _roll(self, points: np.ndarray, matrix: np.ndarray) -> float:
        """How far a face is turned, by its predicted eyes, or else as it was cropped."""
        one, other = points[list(self.run.skeleton.eyes or ()), :2]
        dx, dy = other - one
        # The crop is nearly upright, so its left eye is the one further left.
        turn = np.degrees(np.arctan2(dy, dx) if dx > 0 else np.arctan2(-dy, -dx))
        return roll_of(matrix) + (0.0 if np.isnan(turn) else float(turn))

    def _in_photo(
        self, photo: Photo, face: Face, matrix: np.ndarray, points: np.ndarray
    ) -> DetectedFace:
        there = place(inverse(matrix), points[:, :2])
        seen, own = scaled_points(there, photo.scale).astype(np.float32), face.scaled(photo.scale)
        told = None if self.run.calibration is None else points[:, 2]
        names = self.run.skeleton.points
        return DetectedFace(own.box, face.score, seen, names, roll_of(matrix), told)


def _rule_and_channels(run: Run) -> tuple[CropRule, int]:
    """The run's rule at the size of its models, and how many channels they take."""
    shapes = {run.model(subset).input_shape[1:] for subset in run.subsets}
    height, width, channels = shapes.pop()
    if shapes or channels not in (1, 3):
        raise RunError(f"{run.folder}: models for photos take images of one size, grey or RGB")
    return run.crop_rule.resized((height, width)), channels
