"""OpenCV's Haar cascade for frontal faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kfkd.crops import Face
from kfkd.errors import KfkdError
from kfkd.lazy import cv2

_SIDE = 24
"""The cascade's window in pixels: smaller faces are not found."""


class HaarFinder:
    """Finds frontal faces with a cascade; boxes only, the score is the last stage's sum.

    Args:
        cascade: a cascade's XML file, or the name of one that comes with OpenCV.
        scale_factor: step of the pyramid of sizes, above 1.
        neighbors: how many overlapping windows make a face.

    Raises:
        KfkdError: when OpenCV has no cascades, or cannot read this one.
    """

    def __init__(
        self,
        cascade: str = "haarcascade_frontalface_default.xml",
        scale_factor: float = 1.1,
        neighbors: int = 5,
    ) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise KfkdError(
                f"OpenCV {cv2.__version__} has no Haar cascades; pip install 'opencv-python<5'"
            )
        if scale_factor <= 1 or neighbors < 0:
            got = f"{scale_factor} and {neighbors}"
            raise KfkdError(f"haar wants scale_factor > 1 and neighbors >= 0. Received: {got}")
        own = Path(cascade).expanduser()
        path = own if own.is_file() else Path(_cascades(), cascade)
        self._cascade = cv2.CascadeClassifier(str(path)) if path.is_file() else None
        if self._cascade is None or self._cascade.empty():
            raise KfkdError(f"{path} is not a cascade that OpenCV can read")
        self._scale_factor, self._neighbors = scale_factor, neighbors

    def __call__(self, images: list[np.ndarray], /) -> list[list[Face]]:
        """The faces of each image; OpenCV works on one at a time, on all cores."""
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list[Face]:
        assert self._cascade is not None
        if min(image.shape[:2]) < _SIDE:
            return []
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        boxes, _, sums = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=self._scale_factor,
            minNeighbors=self._neighbors,
            minSize=(_SIDE, _SIDE),
            outputRejectLevels=True,
        )
        return [
            Face((float(x), float(y), float(w), float(h)), float(score))
            for (x, y, w, h), score in zip(boxes, np.ravel(sums), strict=True)
        ]


def _cascades() -> str:
    from cv2 import data

    return data.haarcascades
