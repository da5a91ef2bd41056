"""Turning what users hand in, a path, an array or faces, into a `FaceSet`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kfkd.crops import CropRule
from kfkd.errors import DataError
from kfkd.faces import FaceSet, image_groups
from kfkd.skeletons import KAGGLE_15, Skeleton


def as_faces(
    data: Any = None,
    part: str = "train",
    quiet: bool = False,
    frame: tuple[int, int, int] | None = None,
) -> FaceSet:
    """Faces of whatever a user names.

    Args:
        data: a `FaceSet`; a path of Kaggle's files or of photos, also as "NAME:PATH" or
            "NAME:PATH?size=96x96&channels=1&margin=0.25", see `kfkd.load_faces`; "synthetic";
            uint8 images (n, h, w, c) or (n, h, w); None = where Kaggle's files usually are, else
            built-in faces.
        part: "train" or "test", where files hold both.
        quiet: no progress.
        frame: (height, width, channels) that faces of photos get where `data` does not say; None =
            the data set's usual.

    Returns:
        The faces.

    Raises:
        DataError: when the data cannot be read.
    """
    if isinstance(data, FaceSet):
        return data
    if isinstance(data, np.ndarray):
        return faces_of_images(data)
    from kfkd.pipelines.sources import load_faces, named_photos

    if isinstance(data, str | Path) and (named := named_photos(str(data))):
        name, place, options = named
        if frame:
            options = {"size": frame[:2], "channels": frame[2], **options}
        return load_faces(name, place, quiet=quiet, **{"part": part, **options})
    if isinstance(data, str) and data == "synthetic":
        return load_faces("synthetic", part=part, quiet=quiet)
    if data is not None and not isinstance(data, str | Path):
        raise DataError(f"data wants a FaceSet, a path or images. Received: {type(data).__name__}")
    path = None if data is None else Path(data).expanduser()
    return load_faces("kaggle", path, part=part, quiet=quiet)


def faces_of_images(images: np.ndarray, skeleton: Skeleton = KAGGLE_15) -> FaceSet:
    """A set without labels from bare images.

    Args:
        images: uint8 (n, h, w, c) or grey (n, h, w).
        skeleton: what keypoints would be called.

    Raises:
        DataError: when the array is not uint8 images.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataError(f"images want uint8 (n, h, w, c). Received: {images.dtype} {images.shape}")
    n = len(images)
    return FaceSet(
        images=images,
        keypoints=np.full((n, len(skeleton), 2), np.nan, np.float32),
        skeleton=skeleton,
        source=np.full(n, "full"),
        group=image_groups(images),
        ids=np.arange(1, n + 1),
    )


def built_in_images(
    n: int, frame: tuple[int, int, int], rule: CropRule | None = None
) -> np.ndarray:
    """Built-in faces as images of any size, to try a model on.

    Args:
        n: how many.
        frame: (height, width, channels).
        rule: how the model's data set shows faces; None = as Kaggle's does.

    Returns:
        uint8 (n, height, width, channels).
    """
    from kfkd.pipelines.synthetic import synthetic_faces

    images = synthetic_faces(n, seed=0).images
    if rule is not None and rule.name != "kaggle":
        return _as_cropped_by(rule.resized(frame[:2]), images, frame[2])
    rows, columns = (np.arange(side) * 96 // side for side in frame[:2])
    return np.repeat(images[:, rows][:, :, columns], frame[2], axis=3)


def _as_cropped_by(rule: CropRule, images: np.ndarray, channels: int) -> np.ndarray:
    """Built-in faces, which are Kaggle's crops, as another data set would show them."""
    from kfkd.crop_maps import crop_matrix
    from kfkd.crops import UNNAMED, Face
    from kfkd.pipelines.crop_rules import crop_rule
    from kfkd.pipelines.cropping import crop_faces

    dx, dy, side = crop_rule("kaggle").frame(UNNAMED)
    width = images.shape[2] / side
    left, top = (images.shape[2] - 1) / 2 - width * (np.array([dx, dy]) + 0.5)
    face = Face((float(left), float(top), width, width))
    matrix = crop_matrix(face, rule, UNNAMED, roll=0.0)
    colour = np.repeat(images, 3, axis=3)
    return np.concatenate([crop_faces(image, [matrix], rule.size, channels) for image in colour])
