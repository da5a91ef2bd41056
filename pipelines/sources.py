"""`load_faces`: a data set by name, from wherever it lies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.errors import DataError, KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.pipelines.archives import SINGLE_ZIP, Member, beside, find_member, wanted_files
from kfkd.pipelines.cache import Arrays, cached_arrays
from kfkd.pipelines.csv_pixels import PARSER_VERSION, SIDE
from kfkd.pipelines.kaggle import ID_TABLE, TABLES, read_arrays, read_id_member
from kfkd.pipelines.photo_sources import KINDS, Crop, load_photo_faces
from kfkd.pipelines.source_text import photo_kind, photo_source
from kfkd.pipelines.synthetic import MARKER, synthetic_faces, synthetic_test_faces
from kfkd.progress import say, say_once
from kfkd.skeletons import KAGGLE_15

SYNTHETIC_TRAIN, SYNTHETIC_TEST = 2000, 300
"""How many built-in faces stand in for Kaggle's where there are none."""

_COMPETITION = "facial-keypoints-detection"
_SLOW = 2.0


def load_faces(
    name: str = "kaggle",
    path: str | Path | None = None,
    part: str = "train",
    cache: bool = True,
    quiet: bool = False,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    margin: float | None = None,
    lazy: bool | None = None,
    normalise: Sequence[str] | None = None,
) -> FaceSet:
    """Loads a data set.

    Without a path Kaggle's files are looked for in `$KFKD_DATA`, in Kaggle's and Colab's usual
    folders and in `./data`; where there are none, built-in faces stand in, and stderr says so.

    Args:
        name: "kaggle", "synthetic" (built-in faces), or photos: "imm", "ibug", "pts",
            "youtube_faces", "folder" (your own photos, a CSV names them and their keypoints).
        path: a folder with Kaggle's files or its single zip, or one such file; the photos' folder.
        part: "train", or "test": Kaggle's images without labels, ids = ImageId.
        cache: keep the parsed arrays, so that the next load takes a moment.
        quiet: write nothing to stderr: no notes, no progress.
        size: (height, width) of faces of photos in pixels, None = the data set's usual.
        channels: of faces of photos, 1 = grey, 3 = RGB; None = the data set's usual.
        margin: share of a box's side added on each side of it, in photos with boxes; None = usual.
        lazy: leave photos in their files until a batch wants them; None = where the pixels of all
            would fill more than 512 MB.
        normalise: of your own photos the two keypoints whose distance errors are shares of, such
            as ("left_eye", "right_eye"); None = a known skeleton's, else none.

    Returns:
        n faces. Kaggle's: images uint8 (n, 96, 96, 1), keypoints float32 (n, 15, 2) in pixels, NaN
        = not labelled; source "full" or "four_point", judged by the labels (train) or by what the
        id table beside asks for (test). Photos': in the size asked for, with the data set's
        skeleton; images are `LazyImages` where they are lazy. notes = the reader's warnings.

    Raises:
        DataError: when a file is absent or not as it should be; with file, row and column.
        KfkdError: when an option is not for this data set, or makes no sense.
        UnknownName: when there is no such data set or part.

    Example:
        >>> import kfkd
        >>> faces = kfkd.load_faces("synthetic", quiet=True)
        >>> faces.images.shape
        (2000, 96, 96, 1)
    """
    if part not in TABLES:
        raise UnknownName("part of a data set", part, list(TABLES))
    crop = Crop(size, channels, margin, lazy)
    if name in KINDS:
        if path is None:
            raise DataError(f"{name} wants a path: where the photos lie")
        return load_photo_faces(name, path, part, crop, cache, quiet, normalise)
    if name in ("kaggle", "synthetic") and (crop, normalise) != (Crop(), None):
        options = "size, channels, margin, lazy and normalise"
        raise KfkdError(f"{options} are for photos. Received: {name!r}")
    if name == "synthetic":
        if path is not None:
            raise KfkdError(f"built-in faces lie nowhere. Received: path={str(path)!r}")
        return _built_in(part)
    if name != "kaggle":
        raise UnknownName("data set", name, ["kaggle", "synthetic", *KINDS])
    place = Path(path) if path is not None else find_data()
    if place is None:
        say("no Kaggle files found: using built-in faces (give a path, or set KFKD_DATA)", quiet)
        return _built_in(part)
    return _kaggle(place, part, cache, quiet)


def find_data() -> Path | None:
    """The first usual place that holds the competition's files, None where there is none.

    Raises:
        DataError: when `$KFKD_DATA` is set and holds none.

    Example:
        >>> find_data()  # doctest: +SKIP
        PosixPath('data')
    """
    if named := os.environ.get("KFKD_DATA"):
        if not os.access(named, os.R_OK) or not _holds_any(Path(named)):
            message = f"KFKD_DATA names no Kaggle files, wanted {wanted_files(TABLES['train'])}"
            raise DataError(message, file=named)
        return Path(named)
    readable = (p for p in usual_places() if os.access(p, os.R_OK | os.X_OK) and p.is_dir())
    return next((place for place in readable if _is_the_competition(place)), None)


def named_photos(text: str) -> tuple[str, str, dict[str, Any]] | None:
    """The data set of photos that a text names, by its name or by what lies there.

    Args:
        text: "NAME:PATH", maybe with options, see `photo_source`; or a path.

    Returns:
        Name, path and options for `load_faces`; None where it is a path of something else.

    Raises:
        KfkdError: when an option is not known or makes no sense.
    """
    if named := photo_source(text):
        return named
    place, asked = Path(text).expanduser(), text.rpartition("?")
    exists = partial(os.access, mode=os.F_OK)  # no error for names that are too long
    if asked[0] and not exists(place) and exists(Path(asked[0]).expanduser()):
        raise KfkdError(
            f"options of crops want NAME:PATH?…, NAME one of {', '.join(KINDS)}. Received: {text}"
        )
    kaggles = {SINGLE_ZIP, *TABLES.values()} | {t[: -len("csv")] + "zip" for t in TABLES.values()}
    files = [place, *(place / name for name in kaggles)]
    if any(file.name in kaggles and os.path.lexists(file) for file in files):
        return None
    kind = photo_kind(place)
    return (kind, text, {}) if kind else None


def usual_places(root: Path = Path("/"), here: Path = Path()) -> Iterator[Path]:
    """Where Kaggle notebooks, Colab and a checkout keep the competition's files.

    Args:
        root: the root of the file system.
        here: the current folder.

    Yields:
        Folders that may or may not exist, the likeliest first.

    Example:
        >>> str(list(usual_places())[-1])
        'data/facial-keypoints-detection'
    """
    inputs = root / "kaggle" / "input"
    yield inputs / _COMPETITION
    yield inputs / "competitions" / _COMPETITION
    with suppress(OSError):
        yield from sorted(inputs.glob("*/"))
    content = root / "content"
    yield from (content, content / "data", content / _COMPETITION)
    yield content / "drive" / "MyDrive" / _COMPETITION
    yield from (here / "data", here / "data" / _COMPETITION)


def _holds_any(place: Path) -> bool:
    return any(find_member(place, table) for table in TABLES.values())


def _is_the_competition(place: Path) -> bool:
    """In a place nobody named, a test.csv alone may belong to any other competition."""
    train, test, asked = (find_member(place, name) for name in (*TABLES.values(), ID_TABLE))
    return train is not None or (test is not None and asked is not None)


def _kaggle(place: Path, part: str, cache: bool, quiet: bool) -> FaceSet:
    member = find_member(place, TABLES[part])
    if member is None:
        raise DataError(f"holds no {TABLES[part]}, wanted {wanted_files(TABLES[part])}", file=place)
    table = beside(member, ID_TABLE) if part == "test" else None
    asked = read_id_member(table) if table else None
    arrays = _arrays(member, part, cache, quiet)
    notes = tuple(arrays["notes"].tolist())
    for note in notes:
        say(f"{member.name}: {note}", quiet)
    if part == "train":
        sparse = arrays["keypoints"][:, KAGGLE_15.subset("sparse")]
        source = np.where(np.isnan(sparse).all(axis=(1, 2)), "four_point", "full")
    else:
        ids = arrays["ids"]
        source = asked.source(ids) if asked else np.full(len(ids), "full")
    return FaceSet(
        images=arrays["images"],
        keypoints=arrays["keypoints"],
        skeleton=KAGGLE_15,
        source=source,
        group=arrays["group"],
        ids=arrays["ids"],
        origin="synthetic" if (member.file.parent / MARKER).is_file() else "kaggle",
        path=str(place.absolute()),
        notes=notes,
    )


def _arrays(member: Member, part: str, cache: bool, quiet: bool) -> Arrays:
    def make() -> Arrays:
        with _progress(member, quiet) as on_share:
            return read_arrays(member, part, on_share)

    if not cache:
        return make()
    kind = f"{part}-{PARSER_VERSION}"
    return cached_arrays(member.file, kind, make, _fits, lambda note: say_once(note, quiet))


def _fits(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays out of the cache are what `read_arrays` returns."""
    n = len(arrays["images"])
    wanted = {
        "images": (np.uint8, (n, SIDE, SIDE, 1)),
        "keypoints": (np.float32, (n, len(KAGGLE_15), 2)),
        "ids": (np.int64, (n,)),
        "group": (np.uint64, (n,)),
    }
    notes = arrays["notes"]
    return (
        n > 0
        and notes.ndim == 1
        and notes.dtype.kind == "U"
        and all((arrays[k].dtype, arrays[k].shape) == fits for k, fits in wanted.items())
    )


def _built_in(part: str) -> FaceSet:
    return (
        synthetic_faces(SYNTHETIC_TRAIN)
        if part == "train"
        else synthetic_test_faces(SYNTHETIC_TEST)
    )


@contextmanager
def _progress(member: Member, quiet: bool) -> Iterator[Callable[[float], None]]:
    """A line on a terminal about the share that is read, once that takes more than two seconds."""
    name, start, shown = member.name.rsplit("/", 1)[-1], time.monotonic(), False

    def on_share(share: float) -> None:
        nonlocal shown
        if not quiet and sys.stderr.isatty() and time.monotonic() - start > _SLOW:
            print(f"\rreading {name} {share:4.0%}", end="", file=sys.stderr, flush=True)
            shown = True

    try:
        yield on_share
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
