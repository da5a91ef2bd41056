"""Face detectors behind one interface: images in, the faces of each out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kfkd.crops import GIVEN, Box, Face
from kfkd.errors import KfkdError, UnknownName
from kfkd.lazy import cv2
from kfkd.photosets import PhotoSet

Images = Sequence[np.ndarray]


class Finds(Protocol):
    """What finds faces: uint8 RGB images (h, w, 3) in, the faces of each out, in its pixels."""

    def __call__(self, images: list[np.ndarray], /) -> Sequence[Sequence[Any]]:
        """The faces of each image: `Face`s or boxes (x, y, w, h)."""


@dataclass(frozen=True)
class Detector:
    """A face detector by name, its input and its answers checked.

    Args:
        name: what a crop rule calls it.
        find: does the work.
        least_score: faces below are left out.
        longest: images are reduced to this many pixels on their longer side before they are
            searched, None = never; boxes come back in the pixels of the image handed in.
        boxes: faces that are there before anything is looked at, in pixels of the photo itself:
            of every photo, or by its file.
    """

    name: str
    find: Finds
    least_score: float = -math.inf
    longest: int | None = None
    boxes: tuple[Box, ...] | Mapping[str, tuple[Box, ...]] = ()

    def lacks(self, path: str) -> bool:
        """Whether boxes are given by file, and none for this one."""
        return isinstance(self.boxes, Mapping) and not (path and _one_way(path) in self.boxes)

    def given(self, path: str) -> tuple[Box, ...]:
        """The boxes given for a photo; none where it is not among the files that have some."""
        if isinstance(self.boxes, Mapping):
            return self.boxes.get(_one_way(path), ()) if path else ()
        return self.boxes

    def __call__(self, images: Images) -> list[list[Face]]:
        """Finds the faces of images.

        Args:
            images: uint8 (h, w, 3), RGB, of any sizes.

        Returns:
            For each image its faces, the biggest first.

        Raises:
            KfkdError: when an image is none, or a detector of the user's own answers nonsense.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                got = f"{image.dtype} {image.shape}"
                raise KfkdError(f"a detector wants uint8 images (h, w, 3). Received: {got}")
        small = [reduced(image, self.longest) for image in images]
        found = self._answer([image for image, _ in small])
        return [
            self._kept([as_face(face).scaled(scale) for face in faces])
            for faces, (_, scale) in zip(found, small, strict=True)
        ]

    def _answer(self, images: list[np.ndarray]) -> list[list[Any]]:
        """What the detector finds in each image; where it says None, there is no face."""
        found = self.find(images) if images else []
        try:
            if len(found) == len(images):
                return [[] if faces is None else list(faces) for faces in found]
        except TypeError as error:
            wanted = "wants to answer a list, of the faces of each image"
            message = f"the detector {self.name!r} {wanted}. Received: {found!r:.100}"
            raise KfkdError(message) from error
        answers = f"answers for {len(found)} images, not {len(images)}"
        raise KfkdError(f"the detector {self.name!r} {answers}")

    def _kept(self, faces: list[Face]) -> list[Face]:
        kept = [face for face in faces if face.score >= self.least_score]
        return sorted(kept, key=lambda face: -face.box[2] * face.box[3])


def detector(
    kind: str | Finds | Detector = "mtcnn",
    *,
    least_score: float | None = None,
    boxes: GivenBoxes | None = None,
    **options: Any,
) -> Detector:
    """A face detector.

    Args:
        kind: "mtcnn", "haar" or "yunet"; "box": the faces are where `boxes` says; or a function of
            your own from a list of uint8 RGB images to a list, for each, of (x, y, w, h) or
            `Face`s. Its attribute `name`, if it has one, is looked up in crop rules.
        least_score: faces below are left out; None = the detector's usual value.
        boxes: for "box", (x, y, w, h) in pixels of the photo, the same for every photo, or by its
            file; or what `kfkd.load_photos` gave: each photo's faces are where its data set says.
        options: the detector's own, such as `scale_factor` of haar, `model` of yunet.

    Raises:
        UnknownName: when no detector has this name.
        KfkdError: when its files are absent, or options do not fit.

    Example:
        >>> find = detector(lambda images: [[(10, 10, 50, 50)] for _ in images])
        >>> find([np.zeros((80, 80, 3), np.uint8)])[0][0].box
        (10.0, 10.0, 50.0, 50.0)
    """
    if boxes is not None and kind != "box":
        raise KfkdError(_BOXES_AND_BOX)
    if isinstance(kind, Detector):
        return kind if least_score is None else replace(kind, least_score=least_score)
    if least_score is not None and not math.isfinite(least_score):
        raise KfkdError(f"least_score wants a number. Received: {least_score}")
    floor = -math.inf if least_score is None else least_score
    if callable(kind):
        name = str(getattr(kind, "name", getattr(kind, "__name__", "own")))
        return Detector(name, kind, floor, **options)
    if kind == "box":
        name = GIVEN + boxes.origin if isinstance(boxes, PhotoSet) else "box"
        return Detector(name, lambda images: [[] for _ in images], boxes=_checked(boxes))
    if kind not in _USUAL_SCORES:
        raise UnknownName("face detector", kind, [*_USUAL_SCORES, "box"])
    usual = _USUAL_SCORES[kind] if least_score is None else least_score
    try:
        find = _finder(kind, **options)
    except TypeError as error:
        raise KfkdError(f"the detector {kind!r} has no such option: {error}") from error
    return Detector(kind, find, usual, _LONGEST)


_BOXES_AND_BOX = 'boxes belong to the detector "box", and it wants at least one'
_USUAL_SCORES = {"mtcnn": 0.9, "haar": 0.0, "yunet": 0.7}
_LONGEST = 1024


@cache
def _finder(kind: str, **options: Any) -> Finds:
    """One of each: a detector is made once, not once a photo."""
    if kind == "mtcnn":
        from kfkd.pipelines.detector_mtcnn import MtcnnFinder

        return MtcnnFinder(**options)
    if kind == "haar":
        from kfkd.pipelines.detector_haar import HaarFinder

        return HaarFinder(**options)
    from kfkd.pipelines.detector_yunet import YunetFinder

    return YunetFinder(**options)


def _checked(boxes: GivenBoxes | None) -> tuple[Box, ...] | dict[str, tuple[Box, ...]]:
    if boxes is None or not len(boxes):
        raise KfkdError(_BOXES_AND_BOX)
    if isinstance(boxes, PhotoSet):
        boxes = _by_file(boxes)
    if not isinstance(boxes, Mapping):
        return tuple(as_face(box).box for box in boxes)
    return {_one_way(file): tuple(as_face(box).box for box in of) for file, of in boxes.items()}


def _one_way(file: str | Path) -> str:
    """A file's one name, however one gets there."""
    return os.path.realpath(Path(file).expanduser())


def _by_file(photos: PhotoSet) -> dict[str | Path, list[Sequence[float]]]:
    if np.isnan(photos.boxes).any():
        raise KfkdError(f"the data set {photos.origin} shows whole photos and gives no boxes")
    by_file: dict[str | Path, list[Sequence[float]]] = {}
    for path, box in zip(photos.paths, photos.boxes.tolist(), strict=True):
        by_file.setdefault(path, []).append(box)
    return by_file


def as_face(answer: Any) -> Face:
    """A face, of what a detector answered: a `Face`, or a box (x, y, w, h).

    Raises:
        KfkdError: when it is neither.
    """
    if isinstance(answer, Face):
        return answer
    try:
        x, y, w, h = (float(number) for number in answer)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"a face is x, y, width, height, or a kfkd.crops.Face. Received: {answer!r:.100}"
        raise KfkdError(message) from error
    return Face((x, y, w, h))


def reduced(image: np.ndarray, longest: int | None) -> tuple[np.ndarray, float]:
    """An image of at most `longest` pixels a side, and how many of its own pixels one stands for.

    Args:
        image: uint8 (h, w, 3).
        longest: None = leave it.
    """
    height, width = image.shape[:2]
    scale = 1.0 if longest is None else max(height, width) / longest
    if scale <= 1:
        return image, 1.0
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


GivenBoxes = Sequence[Sequence[float]] | Mapping[str | Path, Sequence[Sequence[float]]] | PhotoSet
"""What users hand in as boxes."""

Detects = str | Callable[[list[np.ndarray]], Sequence[Sequence[Any]]] | Detector
"""What users hand in as a detector."""
