"""The usual code from photos to keypoints, which `kfkd bench detect` measures against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfkd.errors import UnknownName
from kfkd.lazy import cv2

if TYPE_CHECKING:
    import keras

Boxes = Callable[[np.ndarray], list[tuple[int, int, int, int]]]


def usual_recipe(kind: str, model: keras.Model) -> Callable[[Path], int]:
    """What notebooks do: read, detect, cut, `cv2.resize`, `model.predict`, a face at a time.

    Args:
        kind: "mtcnn" or "haar"; the detector is made once, and sees photos of up to 1,024 pixels
            a side, as ours does.
        model: takes pixels (h, w, 1 or 3).

    Returns:
        From a photo's path to the number of its faces.

    Raises:
        UnknownName: when there is no recipe for the detector.
    """
    makers = {"mtcnn": _mtcnn, "haar": _haar}
    if kind not in makers:
        raise UnknownName("recipe", kind, list(makers))
    boxes, (height, width, channels) = makers[kind](), model.input_shape[1:]

    def run(path: Path) -> int:
        image = np.asarray(cv2.imread(str(path)))[..., ::-1].copy()
        scale = min(1.0, 1024 / max(image.shape))
        small = cv2.resize(image, None, fx=scale, fy=scale) if scale < 1 else image
        found = boxes(small)
        for x, y, w, h in (np.array(box) / scale for box in found):
            x0, y0 = max(0, int(x)), max(0, int(y))
            crop = cv2.resize(image[y0 : int(y + h), x0 : int(x + w)], (width, height))
            if channels == 1:
                crop = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None]
            points = model.predict(crop[None], verbose=0).reshape(-1, 2)
            _ = points * (w / width, h / height) + (x0, y0)
        return len(found)

    return run


def _mtcnn() -> Boxes:
    from mtcnn import MTCNN

    net = MTCNN()
    return lambda image: [tuple(face["box"]) for face in net.detect_faces(image)]


def _haar() -> Boxes:
    from cv2 import data

    path = Path(data.haarcascades, "haarcascade_frontalface_default.xml")
    cascade = cv2.CascadeClassifier(str(path))

    def boxes(image: np.ndarray) -> list[tuple[int, int, int, int]]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        found = cascade.detectMultiScale(grey, 1.1, 5, minSize=(24, 24))
        return [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]

    return boxes
