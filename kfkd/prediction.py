"""Predicting keypoints, and writing them as a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.faces import FaceSet
from kfkd.files import replacing
from kfkd.runs import Run, finished_run
from kfkd.skeletons import Skeleton


def predict(
    run: Run | str | Path, data: Any = None, *, part: str = "test", quiet: bool = False
) -> np.ndarray:
    """Keypoints of face images.

    Args:
        run: a run or its folder.
        data: uint8 images (n, h, w, c), faces, or Kaggle's files, see `kfkd.load_faces`.
        part: "train" or "test", where files hold both.
        quiet: no progress.

    Returns:
        float32 (n, k, 2), (x, y) in pixels; NaN for keypoints that the run has no model for.

    Raises:
        DataError: when the data cannot be read.
        RunError: when the run is unfinished, or the images do not fit its models.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> faces = kfkd.load_faces("synthetic")
        >>> kfkd.predict(run, faces.images[:4]).shape
        (4, 15, 2)
    """
    run = finished_run(run)
    return run.predict(as_faces(data, part, quiet, run.frame).images)


def write_predictions(
    path: str | Path, faces: FaceSet, predicted: np.ndarray, skeleton: Skeleton | None = None
) -> Path:
    """Writes keypoints as a CSV: id, then x and y of each keypoint in pixels; empty = none.

    Args:
        path: the file to write.
        faces: give ids and names.
        predicted: (n, k, 2) in pixels.
        skeleton: names the predicted keypoints; None = those of the faces.
    """
    names = (skeleton or faces.skeleton).columns
    with replacing(path) as beside, beside.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *names])
        for row, points in zip(faces.ids, predicted.reshape(len(faces), -1), strict=True):
            writer.writerow([row, *("" if np.isnan(v) else f"{v:.4f}" for v in points)])
    return Path(path)
