"""What `kfkd.detect` and `kfkd.detect_video` refuse."""

from __future__ import annotations

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.pipelines.detectors import Detector
from kfkd.pipelines.photo_rows import boxes_beyond, no_such_place
from kfkd.pipelines.photos import Photo


def check_count(name: str, count: int | None) -> None:
    """Refuses a number of photos or frames that is none.

    Args:
        name: what the user calls it.
        count: None = no limit.

    Raises:
        KfkdError: when it is below 1.
    """
    if count is not None and count < 1:
        raise KfkdError(f"{name} wants 1 or more. Received: {count}")


def check_boxes(photo: Photo, detector: Detector) -> None:
    """Refuses photos that no boxes are given for, and boxes that are nowhere in their photo.

    Args:
        photo: decoded.
        detector: with the boxes, if there are any.

    Raises:
        DataError: when there are none for it, or one lies wholly outside.
    """
    if detector.lacks(photo.path):
        raise DataError("no box is given for this photo", file=photo.path or None)
    boxes, size = np.reshape(detector.given(photo.path), (-1, 4)), np.array(photo.size)
    for box in boxes[boxes_beyond(boxes, size)][:1]:
        raise DataError(no_such_place(box, size), file=photo.path or None)
