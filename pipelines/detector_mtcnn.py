"""MTCNN, from the package of that name, in batches."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kfkd.crops import Face
from kfkd.errors import KfkdError

_LEAST_SIDE = 24
"""Images narrower than this hold no face that it could find (and crash it where they are empty)."""

_GRID = tuple(base << octave for octave in range(3, 12) for base in (4, 5, 6, 7))
"""Sides that images are padded to, so that photos of many sizes fall into few batches."""

_BATCH_PIXELS, _THREADS = 2_000_000, min(4, os.cpu_count() or 1)


class MtcnnFinder:
    """Finds faces and five landmarks with the three nets of MTCNN.

    The nets' stages are called directly: the package's `detect_faces` cuts boxes at the image's
    edge, rounds them, swallows TensorFlow's errors, and shifts the boxes of a batch wrongly where
    images of several sizes meet one without a face.

    Args:
        least_face: side of the smallest face that is looked for, in pixels, at least 12.

    Raises:
        KfkdError: when the package is absent, or Keras runs on another backend than TensorFlow.
    """

    def __init__(self, least_face: int = 20) -> None:
        if least_face < 12:
            raise KfkdError(f"mtcnn wants least_face >= 12 pixels. Received: {least_face}")
        self._least_face = least_face
        self._stages = _stages()

    def __call__(self, images: list[np.ndarray], /) -> list[list[Face]]:
        """The faces of each image, padded ones of equal size together."""
        found: list[list[Face]] = [[] for _ in images]
        planned = batches([image.shape[:2] for image in images])
        # A small image does not keep all cores busy, and what is between the nets only one.
        with ThreadPoolExecutor(min(_THREADS, max(1, len(planned)))) as pool:
            made = pool.map(lambda plan: self._rows(_stacked(images, *plan)), planned)
            for (_, places), rows in zip(planned, made, strict=True):
                for row in rows:
                    found[places[int(row[0])]].append(_face(row))
        return found

    def _rows(self, batch: np.ndarray) -> np.ndarray:
        """Float (m, 16): image, x1, y1, x2, y2, score, five x, five y."""
        import tensorflow as tf

        normal = tf.constant((batch - 127.5) / 128)  # once: the stages would copy it at each scale
        shapes = np.array([image.shape for image in batch])
        rows: Any = None
        for stage in self._stages:
            rows = stage(
                bboxes_batch=rows,
                images_normalized=normal,
                images_oshapes=shapes,
                min_face_size=self._least_face,
            )
            if not len(rows):
                return np.empty((0, 16))
        return rows


def _stacked(images: list[np.ndarray], size: tuple[int, int], places: list[int]) -> np.ndarray:
    batch = np.zeros((len(places), *size, 3), np.float32)
    for row, place in enumerate(places):
        height, width = images[place].shape[:2]
        batch[row, :height, :width] = images[place]
    return batch


def batches(sizes: list[tuple[int, ...]]) -> list[tuple[tuple[int, int], list[int]]]:
    """Which images go through MTCNN together.

    An image is padded to the same size whatever else is in the batch, so that it has the same
    faces alone and in a folder.

    Args:
        sizes: (height, width) of the images.

    Returns:
        (height, width) of a batch, and its images' places in `sizes`; too small ones are left out.

    Example:
        >>> batches([(96, 96), (90, 94), (4, 4)])
        [((96, 96), [0, 1])]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for place, (height, width) in enumerate(sizes):
        if min(height, width) >= _LEAST_SIDE:
            padded = _padded(height), _padded(width)
            groups.setdefault(padded, []).append(place)
    split = []
    for (height, width), places in groups.items():
        most = max(1, _BATCH_PIXELS // (height * width))
        split += [((height, width), places[i : i + most]) for i in range(0, len(places), most)]
    # The largest first: threads that share them then end together.
    return sorted(split, key=lambda batch: -batch[0][0] * batch[0][1] * len(batch[1]))


def _padded(side: int) -> int:
    return next((length for length in _GRID if length >= side), side)


def _face(row: np.ndarray) -> Face:
    x1, y1, x2, y2, score = (float(v) for v in row[1:6])
    landmarks = np.stack([row[6:11], row[11:16]], axis=1).astype(np.float64)
    return Face((x1, y1, max(x2 - x1, 1.0), max(y2 - y1, 1.0)), score, landmarks)


def _stages() -> list[Any]:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise KfkdError(
            f"mtcnn needs Keras on TensorFlow, not on {keras.backend.backend()}; "
            "use the detector haar or yunet"
        )
    try:
        from mtcnn.stages import StageONet, StagePNet, StageRNet
    except ImportError as error:
        raise KfkdError(f"mtcnn cannot be loaded ({error}); pip install mtcnn") from error
    stages = [StagePNet(), StageRNet(), StageONet()]
    for stage, side in zip(stages, (None, 24, 48), strict=True):
        stage._model = _compiled(stage.model, side)
    return stages


def _compiled(model: Any, side: int | None) -> Any:
    """The net as one graph: called layer by layer, small images take several times as long."""
    import tensorflow as tf

    images = tf.TensorSpec((None, side, side, 3), tf.float32)
    return tf.function(lambda images: model(images)).get_concrete_function(images)
