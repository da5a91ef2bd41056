"""What a face detector costs in accuracy: keypoints by its boxes against those by given boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.detections import DetectedFace
from kfkd.errors import RunError
from kfkd.evaluation import own_data, validation_rows
from kfkd.finding import KeypointFinder
from kfkd.nme import eye_distances, image_nme, nme
from kfkd.photosets import PhotoSet
from kfkd.pipelines.detectors import Detects
from kfkd.pipelines.detectors import detector as detector_named
from kfkd.pipelines.photo_reading import chunks, read_photos
from kfkd.pipelines.photo_sources import load_photos
from kfkd.pipelines.photos import Photo
from kfkd.pipelines.source_text import photo_source
from kfkd.progress import Ticker
from kfkd.runs import Run, finished_run
from kfkd.text import table

_CHUNK = 16


def bench_boxes(
    run: Run | str | Path,
    detectors: Sequence[Detects] = ("mtcnn", "haar"),
    most: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compares keypoints through face detectors with those in the boxes that the data set gives.

    Args:
        run: a finished run on photos whose keypoints tell the distance of the eyes.
        detectors: face detectors, see `kfkd.pipelines.detectors.detector`.
        most: at most so many of the held-out images; None = all.
        quiet: no progress.

    Returns:
        For "given boxes" and each detector: faces found, NME on these, and NME in given boxes on
        the same, shares of the distance of the outer eye corners.

    Raises:
        RunError: when the run was not trained on photos.
        UnknownName: when there is no such detector.
        DataError: when its data is not where it was.
    """
    run = finished_run(run)
    named = photo_source(run.record["data"]["path"] or "")
    if named is None or run.skeleton.normaliser is None:
        raise RunError(f"{run.folder} was not trained on photos whose labels show both eyes")
    name, path, options = named
    faces = as_faces(own_data(run), quiet=quiet, frame=run.frame)
    rows = validation_rows(run, faces)[:most]
    photos = load_photos(name, path, options.get("part", "train"), quiet=True)[rows]
    held, places = faces[rows], faces.photos
    if places is None:
        raise RunError(f"{run.folder} was not trained on crops of photos")
    given = places[rows].to_photo(run.predict(held.images, source=held.source))
    lengths = eye_distances(photos.keypoints, run.skeleton)
    errors = image_nme(photos.keypoints, given, lengths)
    made = {"given boxes": _figures(errors, errors)}
    for each in detectors:
        finder = KeypointFinder(run, detector_named(each))
        found = _through(finder, photos, quiet)
        made[finder.detector.name] = _figures(image_nme(photos.keypoints, found, lengths), errors)
    return {"run": str(run.folder), "model": run.name, "images": len(rows), "by": made}


def _through(finder: KeypointFinder, photos: PhotoSet, quiet: bool) -> np.ndarray:
    """Keypoints (n, k, 2) in the photos' pixels; NaN where the labelled face was not found."""
    points = np.full(photos.keypoints.shape, np.nan, np.float32)
    done, ticker = 0, Ticker(quiet)
    for chunk in chunks(read_photos(photos.paths.tolist()), _CHUNK):
        read = [photo for _, photo in chunk if isinstance(photo, Photo)]
        seen = iter(finder(read))
        for row, (_, photo) in enumerate(chunk, done):
            if isinstance(photo, Photo):
                face = _labelled_face(next(seen), photos.keypoints[row])
                points[row] = np.nan if face is None else face.keypoints
        done += len(chunk)
        ticker.show(f"{finder.detector.name}: {done} of {len(photos)} photos")
    ticker.clear()
    return points


def _labelled_face(faces: Sequence[DetectedFace], truth: np.ndarray) -> DetectedFace | None:
    """The face whose box holds most of the labelled points, at least half of them."""
    known = truth[~np.isnan(truth).any(axis=1)]

    def held(face: DetectedFace) -> float:
        x, y, w, h = face.box
        inside = (known >= (x, y)) & (known <= (x + w, y + h))
        return float(inside.all(axis=1).mean())

    best = max(faces, key=held, default=None)
    return best if best is not None and held(best) >= 0.5 else None


def _figures(errors: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    found = ~np.isnan(errors)
    return {
        "found": int(found.sum()),
        "nme": round(nme(errors), 5),
        "nme_in_given_boxes": round(nme(given[found]), 5),
    }


def boxes_table(made: Mapping[str, Any]) -> str:
    """What `bench_boxes` found, as text."""
    rows = [
        (
            name,
            f"{row['found']} of {made['images']}",
            f"{100 * row['nme']:.2f}",
            f"{100 * row['nme_in_given_boxes']:.2f}",
        )
        for name, row in made["by"].items()
    ]
    header = ("boxes of", "faces found", "NME in %", "in given boxes, the same faces")
    return f"{made['model']}, {made['images']} held-out images\n\n{table(header, rows)}"
