"""The Kaggle study's face-box stage: data sets of faces cropped anew by a detector.

The study planned it and ran it on five pictures. Corrected here: one detector for all images, every
image goes on (the study's loop returned after the first), boxes keep their place where they reach
beyond the image, an undetected image stays as it is and is counted, its labels too, and the
detector's points never overwrite labels (its nose sits above the data set's nose tip).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kfkd.crop_maps import inverse, place
from kfkd.crops import CropRule, Face
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.lazy import cv2
from kfkd.pipelines.crop_frames import cut_anew
from kfkd.pipelines.crop_rules import crop_rule, middle_faces
from kfkd.pipelines.detectors import Detector

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Cropped:
    """A data set cropped to its faces' boxes.

    Args:
        faces: images of the old size, labels moved along; NaN where a label left the crop.
        matrices: float64 (n, 2, 3), from an old image's pixels to the new one's; the identity
            where no face was found.
        found: bool (n,), where one was.
    """

    faces: FaceSet
    matrices: np.ndarray
    found: np.ndarray

    @property
    def missed(self) -> int:
        """Images left uncropped, as no face was found in them."""
        return int((~self.found).sum())

    def back(self, keypoints: np.ndarray) -> np.ndarray:
        """Keypoints of the cropped images in pixels of the old ones.

        Args:
            keypoints: (n, k, 2), such as predictions.

        Returns:
            float32 (n, k, 2).
        """
        pairs = zip(self.matrices, keypoints, strict=True)
        return np.stack([place(inverse(matrix), points) for matrix, points in pairs]).astype(
            np.float32
        )


def cropped(
    faces: FaceSet, detector: Detector, margin: float = 0.0, keep_aspect: bool = True
) -> Cropped:
    """Crops every image to the box of its face and resizes it to the old size.

    Args:
        faces: images that each show one face.
        detector: finds the boxes.
        margin: share of the box's sides that is added on each side of it, above -0.5.
        keep_aspect: crop a square around the box; False = the box itself, stretched, as the study.

    Returns:
        The new set, with the way back for predictions; the set's notes say how many were missed.

    Raises:
        KfkdError: when the margin leaves nothing.
    """
    if not margin > -0.5:
        raise KfkdError(f"margin wants a share above -0.5. Received: {margin}")
    size = faces.images.shape[1:3]
    matrices = np.tile(np.eye(2, 3), (len(faces), 1, 1))
    found = np.zeros(len(faces), bool)
    for start in range(0, len(faces), _CHUNK):
        boxes = middle_faces(faces.images[start : start + _CHUNK], detector)
        for i, face in enumerate(boxes, start):
            if face is not None:
                matrices[i], found[i] = _matrix(face, size, margin, keep_aspect), True
    images = np.stack([_warped(*pair) for pair in zip(faces.images, matrices, strict=True)])
    points = np.stack([place(*pair) for pair in zip(matrices, faces.keypoints, strict=True)])
    with np.errstate(invalid="ignore"):
        outside = ((points < -0.5) | (points > np.array(size[::-1]) - 0.5)).any(axis=2)
    # A label that was outside before and is not cropped stays what it was.
    points[outside & found[:, None]] = np.nan
    note = f"{int((~found).sum())} of {len(faces)} images are uncropped: no face was found"
    made = replace(
        faces,
        images=images,
        keypoints=points.astype(np.float32),
        notes=(*faces.notes, note),
        photos=None if faces.photos is None else faces.photos.then(matrices),
        crop=_rule(faces, detector, margin),
    )
    return Cropped(made, matrices, found)


def _rule(faces: FaceSet, detector: Detector, margin: float) -> CropRule | None:
    """How the new images show faces; None where it is not known of the old ones."""
    try:
        return cut_anew(faces.crop or crop_rule(faces.origin), detector.name, 1 + 2 * margin)
    except KfkdError:
        return None


def _matrix(face: Face, size: tuple[int, ...], margin: float, keep_aspect: bool) -> np.ndarray:
    height, width = size
    x, y, w, h = face.box
    sides = np.array([w, h]) * (1 + 2 * margin)
    if keep_aspect:
        sides = np.array([width, height]) * np.max(sides / (width, height))
    zoom = np.array([width, height]) / sides
    middle = np.array([width - 1, height - 1]) / 2 - zoom * (x + w / 2, y + h / 2)
    return np.column_stack([np.diag(zoom), middle])


def _warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    if (matrix == np.eye(2, 3)).all():
        return image
    size = (image.shape[1], image.shape[0])
    warped = cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return warped.reshape(image.shape)
