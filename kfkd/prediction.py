"""Predicting keypoints, and writing them as a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.pipelines.photo_sources import KINDS
from kfkd.runs import Run, finished_run
from kfkd.skeletons import Skeleton
from kfkd.storage.files import replacing


def predict(
    run: Run | str | Path,
    data: Any = None,
    *,
    part: str = "test",
    thorough: bool = False,
    quiet: bool = False,
) -> np.ndarray:
    """Keypoints of face images.

    Args:
        run: a run or its folder.
        data: uint8 images (n, h, w, c), faces, or Kaggle's files, see `kfkd.load_faces`.
        part: "train" or "test", where files hold both.
        thorough: look in more ways, as submissions do, see `Run.predict`.
        quiet: no progress.

    Returns:
        float32 (n, k, 2), (x, y) in pixels of the images, which are crops where faces are of
        photos (`faces.photos.to_photo` takes them back); NaN for keypoints that the run has no
        model for.

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
    faces = as_faces(data, part, quiet, run.frame)
    return run.predict(faces.images, source=faces.source, thorough=thorough)


def write_predictions(
    path: str | Path,
    faces: FaceSet,
    predicted: np.ndarray,
    skeleton: Skeleton | None = None,
    confidence: np.ndarray | None = None,
) -> Path:
    """Writes keypoints as a CSV, a row a face in the order of the set; empty = not predicted.

    Of faces of photos the columns are `file`, the photo as its data set calls it, then x and y of
    each keypoint in pixels of the photo, counted as the data set's own files count them, so that
    they can be compared: from 1 of `ibug` and `pts`, else from 0. Of other faces they are `id`,
    then x and y in pixels of the image.

    Args:
        path: the file to write.
        faces: give files or ids, and names.
        predicted: (n, k, 2) in pixels of the images.
        skeleton: names the predicted keypoints; None = those of the faces.
        confidence: (n, k), see `Run.confidence`, for a column NAME_confidence of each keypoint
            after all coordinates, empty = not known; None = no such columns.
    """
    names = (skeleton or faces.skeleton).points
    more = np.empty((len(faces), 0)) if confidence is None else confidence
    told = [f"{name}_confidence" for name in names if confidence is not None]
    first, keys = ("id", faces.ids) if faces.photos is None else ("file", faces.photos.files)
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([first, *(skeleton or faces.skeleton).columns, *told])
        for key, points, shares in zip(keys, _as_in_files(faces, predicted), more, strict=True):
            numbers = (*points.ravel(), *shares)
            writer.writerow([key, *("" if np.isnan(v) else f"{v:.4f}" for v in numbers)])
    return Path(path)


def write_course_predictions(path: str | Path, faces: FaceSet, predicted: np.ndarray) -> Path:
    """Writes keypoints as CS194-26's class competition takes them: `Id,Predicted`, a row a number.

    Image by image in the order of the set, point by point, x then y; ids count from 0, values are
    in pixels of the photos (of the images, where they are no crops), which count as those of
    `write_predictions` do: the competition compares with iBUG's XML, whose points count from 1.

    Args:
        path: the file to write.
        faces: the test images, one face each.
        predicted: (n, k, 2) in pixels of the images.

    Raises:
        KfkdError: when a keypoint is not predicted, two faces are of one photo, or a photo has no
            face: ids would tell another point.
    """
    if broken := int(np.isnan(predicted).any(axis=(0, 2)).sum()):
        raise KfkdError(
            f"the course's file wants all {predicted.shape[1]} keypoints of every image; {broken} "
            "of them are not predicted, train a run on all"
        )
    if faces.photos is not None and (several := len(faces) - len(set(faces.photos.files))):
        raise KfkdError(f"the course's file wants one face a photo. Received: {several} more")
    if faces.photos is not None and (faceless := faces.photos.faceless):
        raise KfkdError(
            f"the course's file wants a face of every image, or later ids shift. Received: "
            f"{faceless[0]} without a box ({len(faceless)} such images in {faces.path})"
        )
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        file.write("Id,Predicted\n")
        values = enumerate(_as_in_files(faces, predicted).ravel().tolist())
        file.writelines(f"{number},{value:.4f}\n" for number, value in values)
    return Path(path)


def _as_in_files(faces: FaceSet, points: np.ndarray) -> np.ndarray:
    """Points in pixels of the photos, where faces are crops of some, as the files count them."""
    if faces.photos is None:
        return points
    first = KINDS[faces.origin].first_pixel if faces.origin in KINDS else 0
    return faces.photos.to_photo(points) + first
