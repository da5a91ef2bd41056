"""Keypoints of faces in photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfkd.detecting_checks import check_boxes, check_count
from kfkd.detections import PhotoFaces, write_found
from kfkd.drawing.photo_pictures import draw_faces, save_picture
from kfkd.errors import DataError
from kfkd.finding import KeypointFinder, Which
from kfkd.pipelines.detectors import Detector, Detects, GivenBoxes
from kfkd.pipelines.detectors import detector as detector_of
from kfkd.pipelines.photo_reading import DRAWN, Source, chunks, photo_sources, read_photos
from kfkd.pipelines.photos import Photo
from kfkd.progress import Ticker, say
from kfkd.runs import Run, finished_run
from kfkd.storage.files import make_folder


def detect(
    run: Run | str | Path,
    photos: Any,
    *,
    detector: Detects = "mtcnn",
    faces: Which = "all",
    least_score: float | None = None,
    boxes: GivenBoxes | None = None,
    refine: int = 0,
    batch_size: int = 32,
    out: str | Path | None = None,
    quiet: bool = False,
) -> list[PhotoFaces]:
    """Finds faces in photos and their keypoints, in the photos' own pixels.

    A face is cropped the way the run's training images were, turned upright, in one transform and
    one interpolation. Photos of any format and size are read, a bounded number at a time. Ctrl-C
    leaves the tables of the photos that were looked at.

    Args:
        run: a run or its folder.
        photos: an image file, a folder of photos, a Pillow image, an array (h, w), (h, w, c) or
            (n, h, w, c), or a sequence of these.
        detector: "mtcnn", "haar", "yunet", "box", or a function of your own, see
            `kfkd.pipelines.detectors.detector`.
        faces: "all", or only the "biggest" of each photo.
        least_score: faces that the detector is less sure of are left out; None = its usual value.
        boxes: for "box", (x, y, w, h) in pixels of the photo, the same for every photo, or by its
            file; or a data set's, as `kfkd.load_photos` gives it.
        refine: times that a face is turned by its predicted eyes and predicted anew, for detectors
            that give no eyes.
        batch_size: photos that go through the detector together.
        out: a folder for faces.json, faces.csv and the photos with boxes and points.
        quiet: no progress, and no word about photos that cannot be read.

    Returns:
        For each photo its faces, the biggest first (given boxes: as given); one that cannot be
        read, or for which a box is given that lies outside it, has an `error`.

    Raises:
        DataError: when all photos have an error, or there are none.
        KfkdError: when an option does not fit, or a detector's files are absent.
        RunError: when the run is unfinished or its models take no photos.

    Example:
        >>> import kfkd, numpy as np
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> photo = np.zeros((300, 400, 3), np.uint8)
        >>> found = kfkd.detect(run, photo, detector="box", boxes=[(90, 80, 120, 150)])
        >>> found[0].faces[0].keypoints.shape
        (15, 2)
    """
    check_count("batch_size", batch_size)
    out = None if out is None else Path(out).expanduser()
    run = finished_run(run)
    sources = photo_sources(photos)
    chosen = detector_of(detector, least_score=least_score, boxes=boxes)
    finder = KeypointFinder(run, chosen, faces, refine)
    pictures = None if out is None else _Pictures(make_folder(out))
    found: list[PhotoFaces] = []
    try:
        _look(finder, sources, batch_size, pictures, quiet, found)
    except KeyboardInterrupt:
        if out is not None and found:
            write_found(out, found, run.skeleton.points, run.calibration is not None)
            say(f"what was found in the first {len(found)} photos is in {out}", quiet)
        raise
    if all(photo.error for photo in found):
        raise DataError(_all_left_out(found))
    if out is not None:
        write_found(out, found, run.skeleton.points, run.calibration is not None)
    return found


class _Pictures:
    """Draws photos into a folder, a name each."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._taken = folder, set[str]()

    def draw(self, photo: Photo, faces: PhotoFaces) -> PhotoFaces:
        stem = Path(photo.path).stem if photo.path else faces.path.replace(" ", "-")
        number = 1
        while (name := stem if number == 1 else f"{stem}-{number}") in self._taken:
            number += 1
        self._taken.add(name)
        picture = draw_faces(photo.pixels, faces.faces, photo.scale)
        path = save_picture(picture, self._folder / f"{name}{DRAWN}")
        return replace(faces, picture=path.name)


def _look(
    finder: KeypointFinder,
    sources: Sequence[Source],
    batch_size: int,
    pictures: _Pictures | None,
    quiet: bool,
    found: list[PhotoFaces],
) -> None:
    """Adds the faces of one photo after the other to `found`."""
    ticker = Ticker(quiet)
    for chunk in chunks(read_photos(sources), batch_size):
        read = [(source, _checked(photo, finder.detector)) for source, photo in chunk]
        faces = iter(finder([photo for _, photo in read if isinstance(photo, Photo)]))
        for source, photo in read:
            path = str(source) if isinstance(source, Path) else f"photo {len(found) + 1}"
            if isinstance(photo, DataError):
                error = str(photo) if str(photo).startswith(path) else f"{path}: {photo}"
                found.append(PhotoFaces(path, (0, 0), error=error))
                continue
            made = PhotoFaces(path, photo.size, next(faces))
            found.append(made if pictures is None else pictures.draw(photo, made))
        ticker.show(f"{len(found)} of {len(sources)} photos")
    ticker.clear()
    for photo_faces in found:
        if photo_faces.error and len(found) > 1:
            say(f"left out: {photo_faces.error}", quiet)


def _checked(photo: Photo | DataError, detector: Detector) -> Photo | DataError:
    """A photo, or what is wrong with it or the boxes given for it."""
    try:
        if isinstance(photo, Photo):
            check_boxes(photo, detector)
    except DataError as error:
        return error
    return photo


def _all_left_out(found: Sequence[PhotoFaces]) -> str:
    if len(found) == 1:
        return found[0].error
    return f"none of {len(found)} photos could be used; the first: {found[0].error}"
