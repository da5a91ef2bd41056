"""From photos to a `FaceSet`: each face cropped out, or the whole photo resized, in one warp."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from kfkd.crops import GIVEN, UNNAMED, CropRule
from kfkd.errors import DataError, KfkdError
from kfkd.faces import FaceSet
from kfkd.photo_places import PhotoPlaces
from kfkd.photosets import PhotoSet
from kfkd.pipelines.cache import kept_arrays
from kfkd.pipelines.lazy_images import LazyImages
from kfkd.progress import Ticker, say_once

MOST_BYTES = 512_000_000
"""Pixels of larger sets stay in their files until a batch wants them."""

_AT_ONCE, _SLOW, _VERSION = 256, 2.0, "photos-1"
_LONGEST, _MOST_MARGIN = 4096, 10.0


def faces_of(
    photos: PhotoSet,
    size: tuple[int, int],
    channels: int = 3,
    margin: float = 0.0,
    *,
    lazy: bool | None = None,
    cache: bool = True,
    quiet: bool = True,
) -> FaceSet:
    """Crops the faces of photos.

    A face with a box is cropped around the box's centre in square pixels, its box enlarged by the
    margin and as wide and high together as the crop; beyond the photo its outermost pixels go on.
    A whole photo is resized to the crop's width and height. Keypoints move along; those outside
    the crop are kept.

    Args:
        photos: what a reader found.
        size: (height, width) of the crops in pixels.
        channels: 1 = grey, 3 = RGB.
        margin: share of a box's side added on each side.
        lazy: decode photos anew in every epoch; None = where pixels fill more than 512 MB.
        cache: keep decoded pixels for the next time.
        quiet: no progress.

    Returns:
        n faces: images uint8 (n, h, w, c) or lazy ones, keypoints float32 (n, k, 2) in pixels of
        the crops; `photos` takes points back to the photos.

    Raises:
        KfkdError: when size, channels or margin make no sense.
        DataError: when a photo cannot be decoded.
    """
    _check(size, channels, margin)
    matrices = crop_matrices(photos, size, margin)
    frame = (size[0], size[1], channels)
    listed = photos.path if Path(photos.path).is_file() else ""
    images = LazyImages(
        photos.paths, photos.sizes, photos.digests, matrices, frame, listed, photos.ids
    )
    places = PhotoPlaces(_names(photos), matrices, photos.faceless)
    lazy = images.size > MOST_BYTES if lazy is None else lazy
    return FaceSet(
        images=cast(np.ndarray, images) if lazy else _decoded(images, cache, quiet),
        keypoints=places.to_crop(photos.keypoints).astype(np.float32),
        skeleton=photos.skeleton,
        source=photos.source,
        group=photos.group,
        ids=photos.ids,
        origin=photos.origin,
        path=photos.path,
        notes=photos.notes,
        photos=places,
        crop=_own_rule(photos, size, margin),
    )


def crop_matrices(photos: PhotoSet, size: tuple[int, int], margin: float) -> np.ndarray:
    """The maps from photos to crops.

    Args:
        photos: n faces.
        size: (height, width) of the crops in pixels.
        margin: share of a box's side added on each side.

    Returns:
        float64 (n, 2, 3): crop = matrix @ (x, y, 1), pixel centres in both.
    """
    boxes, (height, width) = photos.boxes.astype(np.float64), size
    whole = np.isnan(boxes[:, 0])
    with np.errstate(invalid="ignore"):
        side = np.sqrt(boxes[:, 2] * boxes[:, 3]) * (1 + 2 * margin)
    scale = np.repeat((np.sqrt(width * height) / side)[:, None], 2, axis=1)
    scale[whole] = np.array([width, height]) / photos.sizes[whole]
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    centre[whole] = (photos.sizes[whole] - 1) / 2
    matrices = np.zeros((len(photos), 2, 3))
    matrices[:, 0, 0], matrices[:, 1, 1] = scale.T
    matrices[:, :, 2] = np.array([width - 1, height - 1]) / 2 - scale * centre
    return matrices


def _own_rule(photos: PhotoSet, size: tuple[int, int], margin: float) -> CropRule | None:
    """How a user's own photos show faces, where boxes say: as if a detector had drawn these."""
    if photos.origin != "folder" or np.isnan(photos.boxes).any():
        return None
    frame = (0.0, 0.0, 1 + 2 * margin)
    return CropRule("folder", size, True, {UNNAMED: frame, f"{GIVEN}folder": frame})


def _names(photos: PhotoSet) -> np.ndarray:
    """(n,) str objects: each photo's way from the data set's folder, or as it is if not in there.

    Of dlib's XML, which counts from its own folder, these are the names that it gives.
    """
    if not photos.path:
        return photos.paths
    root, here = Path(photos.path), Path.cwd()
    start = f"{(root if root.is_dir() else root.parent).as_posix()}/"
    names = [(here / path).as_posix().removeprefix(start) for path in photos.paths]
    return np.array(names, object)


def _check(size: tuple[int, int], channels: int, margin: float) -> None:
    if len(size) != 2 or not all(1 <= length <= _LONGEST for length in size):
        raise KfkdError(f"size wants (height, width) from 1 to {_LONGEST}. Received: {size}")
    if channels not in (1, 3):
        raise KfkdError(f"channels wants 1 (grey) or 3 (RGB). Received: {channels}")
    # A margin of -0.5 leaves nothing of the box.
    if not -0.5 < margin <= _MOST_MARGIN:
        raise KfkdError(
            f"margin wants a share of the box's side above -0.5 and up to {_MOST_MARGIN:g}. "
            f"Received: {margin}"
        )


def _decoded(images: LazyImages, cache: bool, quiet: bool) -> np.ndarray:
    def make() -> dict[str, np.ndarray]:
        return {"images": _decode_all(images, quiet)}

    def fits(arrays: Mapping[str, np.ndarray]) -> bool:
        kept = arrays.get("images")
        return kept is not None and (kept.dtype, kept.shape) == (images.dtype, images.shape)

    if not cache or not len(images):
        return make()["images"]
    kept = kept_arrays(_key(images), _VERSION, make, fits, lambda note: say_once(note, quiet))
    return kept["images"]


def _decode_all(images: LazyImages, quiet: bool) -> np.ndarray:
    pixels = np.empty(images.shape, np.uint8)
    ticker, start = Ticker(quiet), time.monotonic()
    try:
        for first in range(0, len(images), _AT_ONCE):
            pixels[first : first + _AT_ONCE] = images[first : first + _AT_ONCE]
            if time.monotonic() - start > _SLOW:
                ticker.show(f"decoding photos {first}/{len(images)}")
    finally:
        ticker.clear()
    return pixels


def _key(images: LazyImages) -> str:
    """Changes with every photo, as far as its file's time and length tell, and with every crop."""
    digest = hashlib.sha256(images.fingerprint)
    for path in images.paths:
        try:
            state = Path(path).stat()
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            raise DataError(message, file=path) from error
        digest.update(json.dumps([path, state.st_size, state.st_mtime_ns]).encode())
    return digest.hexdigest()
