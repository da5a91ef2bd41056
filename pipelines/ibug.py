"""iBUG 300-W in dlib's XML layout: photos with boxes and 68 parts, or boxes alone.

dlib counts pixels from 0, and its detector's boxes are taken as they are. The points come from
300-W's .pts files, which count from 1: 1 is taken off. The mean faces say so, too: on LFPW's photos
whatever their scale, the numbers lie 0.9 pixels right of where mirror images look the same, and
0.9 below where they would grow and shrink with the faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from kfkd.errors import DataError
from kfkd.photosets import PhotoSet
from kfkd.pipelines.photo_facts import PhotoFacts, Place, photo_facts
from kfkd.pipelines.photo_rows import Row, photo_set
from kfkd.pipelines.text_files import find_files, number
from kfkd.skeletons import IBUG_68

LABELS = {
    "train": ("labels_ibug_300W_train.xml",),
    "test": ("labels_ibug_300W_test.xml", "labels_ibug_300W_test_parsed.xml"),
}
"""The files of each part; those that come first have points."""
FIRST_PIXEL = 1
"""The number that the file's points give the centre of the first pixel."""

_PARTS = {f"{i:02d}": i for i in range(len(IBUG_68))} | {str(i): i for i in range(len(IBUG_68))}


def read_ibug(path: str | Path, part: str = "train", quiet: bool = False) -> PhotoSet:
    """Reads iBUG 300-W as dlib hands it out.

    Args:
        path: the folder with dlib's XML files, or one of them, or another of that layout.
        part: "train" or "test", where `path` is a folder.
        quiet: no progress.

    Returns:
        A face for each box, with 68 points or, where the file gives none, without labels. The
        points lie 1 pixel left of and above the file's numbers.

    Raises:
        DataError: when the XML is broken, a photo is absent, a box lies outside its photo, or a
            face has another number of points; `row` counts the file's images from 1.

    Example:
        >>> len(read_ibug("ibug_300W_large_face_landmark_dataset"))  # doctest: +SKIP
        6666
    """
    file = _labels(Path(path).expanduser(), part)
    rows, images, told, faceless = [], [], [], []
    for image, (name, size, faces) in enumerate(_images(file), start=1):
        faceless += [] if faces else [name]
        rows += faces
        images += [image] * len(faces)
        told += [size] * len(faces)
    if not rows:
        raise DataError("holds no image with a box", file=file)

    def place(index: int) -> tuple[Path, int]:
        return file, images[index]

    facts = photo_facts([row.photo for row in rows], place, quiet)
    _check_sizes(told, facts, place)
    notes = [f"{len(faceless)} images without a box are left out"] if faceless else []
    found = photo_set(rows, IBUG_68, "ibug", file, place, facts=facts, notes=notes, quiet=quiet)
    return replace(found, faceless=tuple(faceless))


def _labels(path: Path, part: str) -> Path:
    names = LABELS[part]
    if path.suffix.lower() == ".xml":
        return path
    for name in names[:-1]:
        if (path / name).is_file():
            return path / name
    return find_files(path, names[-1], f"{' or '.join(names)}, or a folder with it")[0]


_Image = tuple[str, tuple[float, float] | None, list[Row]]


def _images(file: Path) -> Iterator[_Image]:
    """Each photo's name and size as the file tells them, and its faces."""
    image = 0
    _refuse_doctype(file)
    try:
        for _, element in ElementTree.iterparse(file):
            if element.tag == "image":
                image += 1
                yield _image(element, file, image)
                element.clear()  # a hundred thousand images with all their parts fill gigabytes
    except (ElementTree.ParseError, LookupError, UnicodeError) as error:  # unknown encodings
        raise DataError(f"is not well-formed XML: {error}", file=file, row=image + 1) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", file=file) from error
    if not image:
        raise DataError("holds no <image>, wanted dlib's XML layout", file=file)


def _refuse_doctype(file: Path) -> None:
    """Refuses a document type: its entities may grow beyond memory, and dlib's files have none."""

    def refused(*declared: object) -> None:
        raise DataError("declares a document type, which dlib's files do not", file=file)

    def begun(*element: object) -> None:
        raise _Begun

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler, parser.StartElementHandler = refused, begun
    try:
        with file.open("rb") as stream, suppress(_Begun):
            parser.ParseFile(stream)
    except (OSError, expat.ExpatError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        # What is wrong is said by the reader, with its place.


class _Begun(Exception):
    """Ends the reading where the first element begins."""


def _image(element: ElementTree.Element, file: Path, row: int) -> _Image:
    name = element.get("file")
    if not name:
        raise DataError("the image names no file", file=file, row=row)
    photo = file.parent / name.replace("\\", "/")
    boxes = [box for box in element.iter("box") if box.get("ignore", "0") in ("0", "false")]
    try:
        faces = [Row(photo, _points(box), _box(box)) for box in boxes]
        size = None
        if element.get("width") is not None:
            size = number(element.get("width")), number(element.get("height"))
    except ValueError as error:
        raise DataError(f"{name}: {error}", file=file, row=row) from None
    return name, size, faces


def _box(box: ElementTree.Element) -> tuple[float, float, float, float]:
    left, top, width, height = (_named(box, key) for key in ("left", "top", "width", "height"))
    return left, top, width, height


def _points(box: ElementTree.Element) -> np.ndarray:
    points = np.full((len(IBUG_68), 2), np.nan)
    parts = box.findall("part")
    if not parts:
        return points
    if len(parts) != len(IBUG_68):
        raise ValueError(f"received {len(parts)} points, wanted {len(IBUG_68)} or none")
    for part in parts:
        name = part.get("name", "")
        if name not in _PARTS:
            raise ValueError(f"received a point called {name!r}, wanted 00 to 67")
        if not np.isnan(points[_PARTS[name], 0]):
            raise ValueError(f"point {name} is there twice")
        points[_PARTS[name]] = _named(part, "x"), _named(part, "y")
    return points - FIRST_PIXEL


def _named(element: ElementTree.Element, key: str) -> float:
    try:
        return number(element.get(key))
    except ValueError as error:
        called = " ".join([element.tag, element.get("name", "")]).strip()
        raise ValueError(f"{key} of {called}: {error}") from None


def _check_sizes(told: list[tuple[float, float] | None], facts: PhotoFacts, place: Place) -> None:
    for index, (size, found) in enumerate(zip(told, facts.sizes.tolist(), strict=True)):
        if size is not None and size != tuple(found):
            file, row = place(index)
            message = (
                f"the photo is {found[0]} × {found[1]} pixels, its points were set on one of "
                f"{size[0]:g} × {size[1]:g}"
            )
            raise DataError(message, file=file, row=row)
