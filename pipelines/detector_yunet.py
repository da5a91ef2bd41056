"""YuNet, OpenCV's small face detector; its ONNX file is the user's to bring."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kfkd.crops import Face
from kfkd.errors import KfkdError
from kfkd.lazy import cv2
from kfkd.pipelines.cache import cache_folder

FILE = "face_detection_yunet_2023mar.onnx"
_HOME = "github.com/opencv/opencv_zoo, models/face_detection_yunet"
_LEAST_SCORE, _OVERLAP, _MOST = 0.1, 0.3, 5000


class YunetFinder:
    """Finds faces and five landmarks with `cv2.FaceDetectorYN`.

    Args:
        model: the ONNX file; None = `$KFKD_YUNET`, else the file of YuNet's own name in kfkd's
            cache folder.

    Raises:
        KfkdError: when the file is absent or OpenCV cannot read it.
    """

    def __init__(self, model: str | None = None) -> None:
        path = model_path(model)
        settings = (_LEAST_SCORE, _OVERLAP, _MOST)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), *settings)
        except Exception as error:  # cv2.error, which the lazy module cannot name here
            reason = str(error).strip().splitlines()[-1]
            raise KfkdError(f"{path} is not a YuNet that OpenCV can read: {reason}") from error

    def __call__(self, images: list[np.ndarray], /) -> list[list[Face]]:
        """The faces of each image; OpenCV works on one at a time, on all cores."""
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        if min(height, width) < 2:
            return []
        self._net.setInputSize((width, height))
        _, rows = self._net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return [face_of_row(row) for row in ([] if rows is None else rows)]


def model_path(given: str | None = None) -> Path:
    """Where YuNet's ONNX file is.

    Args:
        given: by the user; None = `$KFKD_YUNET`, else the cache folder.

    Raises:
        KfkdError: when it is not there, saying where to get it.
    """
    named = given or os.environ.get("KFKD_YUNET")
    path = Path(named).expanduser() if named else cache_folder() / FILE
    if not path.is_file():
        raise KfkdError(
            f"YuNet's file {path} is absent; get {FILE} from {_HOME} and set KFKD_YUNET to it, "
            f"or put it there"
        )
    return path


def face_of_row(row: np.ndarray) -> Face:
    """A face of a row that OpenCV answers.

    Args:
        row: float (15,): x, y, w, h, five landmarks (the person's right eye first, which is the
            left one in the picture; nose; mouth corners, the person's right first), score.
    """
    x, y, w, h = (float(v) for v in row[:4])
    return Face((x, y, w, h), float(row[14]), np.array(row[4:14], np.float64).reshape(5, 2))
