"""The image that a run's models are to look at: a row of data, a crop, or a face in a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kfkd.crop_maps import crop_matrix
from kfkd.data import as_faces
from kfkd.errors import DataError, RunError
from kfkd.evaluation import own_data
from kfkd.finding import KeypointFinder
from kfkd.pipelines.cropping import crop_faces
from kfkd.pipelines.detectors import Detects, detector
from kfkd.pipelines.photos import Photo, read_photo
from kfkd.progress import say
from kfkd.runs import Run


class Seen(NamedTuple):
    """An image as a model gets it.

    Args:
        image: uint8 (h, w, c).
        name: where it comes from, for titles.
        truth: (k, 2) in its pixels, NaN = not labelled; None = it has no labels.
        source: who labelled it, for models that know Kaggle's two sources.
    """

    image: np.ndarray
    name: str
    truth: np.ndarray | None = None
    source: str = "full"


def seen_image(
    run: Run,
    image: str | Path | int | np.ndarray,
    subset: str,
    *,
    data: Any = None,
    detects: Detects = "mtcnn",
    quiet: bool = False,
) -> Seen:
    """An image for a subset's model.

    Args:
        run: finished.
        image: an id of `data` (1 = its first row), or an image file or array: one of the model's
            size is taken as it is, in another the biggest face is found and cropped as the run's
            data are.
        subset: whose model it is for.
        data: where ids are looked up, see `kfkd.load_faces`; None = the run's own.
        detects: finds faces, see `kfkd.detect`.
        quiet: no progress.

    Raises:
        DataError: when there is no such row or photo, or no face in it.
        RunError: when the model takes no 1- or 3-channel images.
    """
    if isinstance(image, int | np.integer):
        return _row(run, int(image), data, quiet)
    height, width, channels = run.model(subset).input_shape[1:]
    if channels not in (1, 3):
        raise RunError(f"{run.folder}: its models take images of {channels} channels, not photos")
    photo = read_photo(image)
    name = Path(photo.path).name if photo.path else "an image"
    if photo.size == (width, height):
        return Seen(crop_faces(photo.pixels, [np.eye(2, 3)], (height, width), channels)[0], name)
    say(f"looking for the face in {name}, which is not {width} × {height} pixels", quiet)
    return Seen(_biggest_face(run, photo, detects, name), name)


def _row(run: Run, row: int, data: Any, quiet: bool) -> Seen:
    faces = as_faces(own_data(run) if data is None else data, quiet=quiet, frame=run.frame)
    places = np.flatnonzero(faces.ids == row)[:1]
    if not len(places):
        known = f"{faces.ids.min()} to {faces.ids.max()}" if len(faces) else "none"
        raise DataError(f"the data has no row {row}, its {len(faces)} rows are {known}")
    found = faces[places]
    fits = found.skeleton.points == run.skeleton.points
    truth = found.keypoints[0] if fits else None
    return Seen(np.asarray(found.images)[0], f"row {row}", truth, str(found.source[0]))


def _biggest_face(run: Run, photo: Photo, detects: Detects, name: str) -> np.ndarray:
    finder = KeypointFinder(run, detector(detects), "biggest")
    boxed = finder.boxes([photo])
    if not boxed[0]:
        height, width = finder.rule.size
        raise DataError(
            f"{photo.path or name}: no face was found; give a crop of {width} × {height} pixels"
        )
    matrix = crop_matrix(boxed[0][0], finder.rule, finder.detector.name)
    return finder.crops([photo], [0], [matrix])[0]
