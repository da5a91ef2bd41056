"""Data sets of photos by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from kfkd.errors import DataError, KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.photosets import PhotoSet
from kfkd.pipelines import ibug, pts
from kfkd.pipelines.ibug import read_ibug
from kfkd.pipelines.imm import read_imm
from kfkd.pipelines.photo_faces import faces_of
from kfkd.pipelines.photo_folder import read_photo_folder
from kfkd.pipelines.pts import read_pts
from kfkd.pipelines.youtube_faces import TABLES, read_youtube_faces
from kfkd.progress import say

PARTS = ("train", "test")


class PhotoKind(NamedTuple):
    """How a data set of photos is read, and shown where nothing else is asked.

    Args:
        read: `(path, part, quiet)` → photos.
        size: (height, width) of its faces.
        channels: 1 = grey, 3 = RGB.
        margin: around boxes, as `faces_of` takes it.
        signs: patterns of files that tell such a folder.
        first_pixel: the number that its files give the centre of the first pixel.
    """

    read: Callable[[str | Path, str, bool], PhotoSet]
    size: tuple[int, int]
    channels: int
    margin: float
    signs: tuple[str, ...]
    first_pixel: int = 0


KINDS = {
    "imm": PhotoKind(read_imm, (180, 240), 3, 0.0, ("*.asf", "*/*.asf")),
    # dlib's boxes end above the chin; a quarter more on each side holds 99.99 % of the points.
    "ibug": PhotoKind(
        read_ibug,
        (224, 224),
        3,
        0.25,
        ("labels_ibug_300W*.xml", "*/labels_ibug_300W*.xml"),
        ibug.FIRST_PIXEL,
    ),
    "youtube_faces": PhotoKind(
        read_youtube_faces, (224, 224), 1, 0.0, (*TABLES.values(), f"*/{TABLES['train']}")
    ),
    "pts": PhotoKind(
        read_pts, (224, 224), 3, 0.25, ("*.pts", "*/*.pts", "*/*/*.pts"), pts.FIRST_PIXEL
    ),
    "folder": PhotoKind(read_photo_folder, (96, 96), 1, 0.0, ("*.csv",)),
}
"""The data sets of photos; where several would do for a folder, the first does."""


@dataclass(frozen=True)
class Crop:
    """How faces are to be cropped; None = as usual for the data set.

    Args:
        size: (height, width) in pixels.
        channels: 1 = grey, 3 = RGB.
        margin: share of a box's side added on each side.
        lazy: decode photos anew in every epoch; None = where their pixels fill more than 512 MB.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    margin: float | None = None
    lazy: bool | None = None


def load_photos(
    name: str,
    path: str | Path,
    part: str = "train",
    quiet: bool = False,
    normalise: Sequence[str] | None = None,
) -> PhotoSet:
    """Loads labelled photos as they are, before faces are cropped out.

    Args:
        name: "imm", "ibug", "pts", "youtube_faces" or "folder" (your own photos and a CSV).
        path: where they lie.
        part: "train" or "test", where there are both.
        quiet: write nothing to stderr: no notes, no progress.
        normalise: of your own photos the two keypoints whose distance errors are shares of.

    Returns:
        The photos' files, sizes, boxes and keypoints, in pixels of each photo.

    Raises:
        DataError: when a file is absent or not as it should be; with file and row.
        KfkdError: when `normalise` names no two keypoints, or is asked of another data set.
        UnknownName: when there is no such data set or part.

    Example:
        >>> import kfkd
        >>> kfkd.load_photos("imm", "imm_face_db").keypoints.shape  # doctest: +SKIP
        (240, 58, 2)
    """
    if name not in KINDS:
        raise UnknownName("data set of photos", name, list(KINDS))
    if part not in PARTS:
        raise UnknownName("part of a data set", part, list(PARTS))
    if normalise is not None and name != "folder":
        raise KfkdError(f"normalise is for your own photos, folder:PATH. Received: {name}")
    try:
        photos = KINDS[name].read(path, part, quiet)
    except OSError as error:  # folders that may not be listed
        raise DataError(f"cannot be read: {error.strerror or error}", file=path) from error
    for note in photos.notes:
        say(f"{name}: {note}", quiet)
    if normalise is None:
        return photos
    return replace(photos, skeleton=photos.skeleton.normalised_by(normalise))


def load_photo_faces(
    name: str,
    path: str | Path,
    part: str = "train",
    crop: Crop | None = None,
    cache: bool = True,
    quiet: bool = False,
    normalise: Sequence[str] | None = None,
) -> FaceSet:
    """Loads photos and crops their faces.

    Args:
        name: as `load_photos` takes it.
        path: where they lie.
        part: "train" or "test", where there are both.
        crop: how large, and so on.
        cache: keep decoded pixels for the next time.
        quiet: write nothing to stderr.
        normalise: as `load_photos` takes it.

    Returns:
        The faces; their `path` is a text that loads the same again.

    Raises:
        DataError: when a file is absent or not as it should be.
        KfkdError: when a number of the crop makes no sense.
    """
    photos, crop = load_photos(name, path, part, quiet, normalise), crop or Crop()
    kind = KINDS[name]
    size = kind.size if crop.size is None else crop.size
    channels = kind.channels if crop.channels is None else crop.channels
    margin = kind.margin if crop.margin is None else crop.margin
    faces = faces_of(photos, size, channels, margin, lazy=crop.lazy, cache=cache, quiet=quiet)
    told = f"size={size[0]}x{size[1]}&channels={channels}&margin={margin:g}"
    part_told = "" if part == "train" else f"&part={part}"
    part_told += "" if crop.lazy is None else f"&lazy={str(crop.lazy).lower()}"
    if normalise is not None:
        part_told += f"&normalise={names_told(photos.skeleton.normaliser_names)}"
    return replace(faces, path=f"{name}:{Path(path).expanduser().absolute()}?{told}{part_told}")


def names_told(names: Sequence[str]) -> str:
    """Names of keypoints as a text such as "folder:PATH?normalise=NAME,NAME" has them."""
    return ",".join(map(quote, names))  # a name may hold what separates options
