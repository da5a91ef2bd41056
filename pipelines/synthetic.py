"""Built-in faces: seeded, labelled like Kaggle's two sources, in memory or as a Kaggle folder.

They need no download, so tests and newcomers run the true path. A picture is a function of seed,
stream and row alone: any row can be drawn without the rows before it, however many there are.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfkd.errors import KfkdError
from kfkd.faces import SOURCES, FaceSet, image_groups
from kfkd.pipelines.drawing import SIZE, Drawn, draw_face
from kfkd.pipelines.kaggle import IdTable
from kfkd.progress import say
from kfkd.skeletons import KAGGLE_15
from kfkd.storage.files import replacing, write_json, write_text

MARKER = "synthetic.json"
"""The file that says that a folder in Kaggle's layout holds built-in faces."""

FULL_ROWS = 0.32
DUPLICATE_SHARE = 0.04
LABEL_NOISE = {"full": 0.4, "four_point": 1.0}
GROSS_ERRORS = 0.003
INCOMPLETE = {"full": 0.06, "four_point": 0.005}

_ANSWERS = ("IdLookupTable.csv", "SampleSubmission.csv", "solution.csv")
_TRAIN, _TEST = 0, 1
_WHO, _LOOK, _LABEL, _USAGE = range(4)
# Steps of 1/64 px are exact in float32 and in six decimals: a folder reads back as it was made.
_LABEL_STEPS = 64


class _Stream(NamedTuple):
    seed: int
    number: int
    n: int

    def rng(self, row: int, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, self.number, row, purpose]))


def synthetic_faces(n: int = 2000, seed: int = 0) -> FaceSet:
    """Makes faces with Kaggle's 15 keypoints and Kaggle's two ways of labelling them.

    The first 32 % of the rows are labelled by the "full" source, with 0.4 px of noise; 6 % of them
    miss some points. The rest is "four_point": eye centres, nose tip (6.5 px lower) and bottom
    lip (4 px higher) with 1 px of noise. 4 % of the pictures repeat an earlier row's.

    Args:
        n: how many faces.
        seed: another seed gives other faces; the pictures of the first rows do not depend on `n`.

    Returns:
        n faces: images uint8 (n, 96, 96, 1), keypoints float32 (n, 15, 2) in pixels within
        0..95, NaN = not labelled, ids 1..n, origin "synthetic".

    Raises:
        KfkdError: when `n` is not a whole number from 1 or `seed` not one from 0.

    >>> faces = synthetic_faces(10, seed=1)
    >>> faces.images.shape, faces.keypoints.shape, str(faces.source[0])
    ((10, 96, 96, 1), (10, 15, 2), 'full')
    """
    return _face_set(_stream(_TRAIN, n, seed))


def synthetic_test_faces(n: int = 300, seed: int = 0) -> FaceSet:
    """Makes the faces that `write_kaggle_folder` writes as test.csv: others than for training.

    Args:
        n: how many faces.
        seed: another seed gives other faces; the pictures of the first rows do not depend on `n`.

    Returns:
        n faces as of `synthetic_faces`, but as in Kaggle's test set all keypoints are NaN; ids 1..n
        are the ImageIds, and source is who labelled what `synthetic_id_table` asks for.

    Raises:
        KfkdError: when `n` is not a whole number from 1 or `seed` not one from 0.

    Example:
        >>> faces = synthetic_test_faces(4)
        >>> faces.ids.tolist(), bool(faces.labelled.any())
        ([1, 2, 3, 4], False)
    """
    faces = _face_set(_stream(_TEST, n, seed))
    return replace(faces, keypoints=np.full_like(faces.keypoints, np.nan))


def synthetic_id_table(n: int = 300, seed: int = 0) -> IdTable:
    """Makes the table that `write_kaggle_folder` writes as IdLookupTable.csv.

    Args:
        n: how many test faces there are.
        seed: that of the test faces.

    Returns:
        What is asked of `synthetic_test_faces(n, seed)`, RowIds from 1 on.

    Raises:
        KfkdError: when `n` is not a whole number from 1 or `seed` not one from 0.

    Example:
        >>> table = synthetic_id_table(2)
        >>> table.row_id[:3].tolist(), table.file
        ([1, 2, 3], 'built-in faces')
    """
    stream = _stream(_TEST, n, seed)
    truth = np.stack([_face(stream, row)[1] for row in range(stream.n)])
    asked = list(_asked(stream, truth))
    return IdTable(
        row_id=np.arange(1, len(asked) + 1),
        image_id=np.array([a.image for a in asked]),
        column=np.array([KAGGLE_15.columns.index(a.feature) for a in asked]),
        file="built-in faces",
    )


def write_kaggle_folder(
    folder: str | Path,
    train: int = 2000,
    test: int = 300,
    seed: int = 0,
    zipped: bool = False,
    quiet: bool = True,
) -> Path:
    """Writes built-in faces as a folder in the layout of Kaggle's competition.

    Files: training.csv, test.csv (or .zip), IdLookupTable.csv, SampleSubmission.csv, solution.csv
    (the true test labels, Usage Public or Private by image) and synthetic.json, the mark of
    built-in faces. The training rows are those of `synthetic_faces(train, seed)`; the test
    faces are those of `synthetic_test_faces(test, seed)`.

    Args:
        folder: where to write; made where absent. An earlier folder of built-in faces is replaced.
        train: rows of training.csv.
        test: rows of test.csv.
        seed: another seed gives other faces.
        zipped: write training.zip and test.zip in place of the two big CSV files.
        quiet: False says on stderr what is being written.

    Returns:
        The folder.

    Raises:
        KfkdError: when a count or the seed is out of range, the folder cannot be written, or it
            holds competition files that are not built-in faces.

    >>> import tempfile
    >>> folder = write_kaggle_folder(tempfile.mkdtemp(), train=5, test=3)
    >>> (folder / "test.csv").read_text().count("\\n")
    4
    """
    train, test = _whole("train", train, 1), _whole("test", test, 1)
    seed, folder = _whole("seed", seed, 0), Path(folder)
    _refuse_foreign(folder)
    faces, unseen = _Stream(seed, _TRAIN, train), _Stream(seed, _TEST, test)
    made = {"generator": "kfkd.pipelines.synthetic", "seed": seed, "train": train, "test": test}
    # The mark goes first: a killed run must not leave built-in faces that pass for Kaggle's.
    write_json(folder / MARKER, made)
    truth = np.empty((test, len(KAGGLE_15), 2), np.float32)
    say(f"drawing {train} training and {test} test faces", quiet)
    _write_big(folder, "training", zipped, _training_csv(faces))
    _write_big(folder, "test", zipped, _test_csv(unseen, truth))
    _write_answers(folder, list(_asked(unseen, truth)))
    return folder


def _stream(number: int, n: int, seed: int) -> _Stream:
    return _Stream(_whole("seed", seed, 0), number, _whole("n", n, 1))


def _face_set(stream: _Stream) -> FaceSet:
    images = np.empty((stream.n, SIZE, SIZE, 1), np.uint8)
    keypoints = np.empty((stream.n, len(KAGGLE_15), 2), np.float32)
    for row in range(stream.n):
        images[row, :, :, 0], keypoints[row] = _face(stream, row)
    return FaceSet(
        images=images,
        keypoints=keypoints,
        skeleton=KAGGLE_15,
        source=np.array([_source(stream, row) for row in range(stream.n)]),
        group=image_groups(images),
        ids=np.arange(1, stream.n + 1),
        origin="synthetic",
    )


def _whole(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise KfkdError(f"{name} must be a whole number from {least}. Received: {name}={value!r}")
    return int(value)


def _source(stream: _Stream, row: int) -> str:
    if stream.number == _TRAIN:
        return SOURCES[int(row >= FULL_ROWS * stream.n)]
    return SOURCES[int(stream.rng(row, _WHO).random() >= FULL_ROWS)]


def _draw(stream: _Stream, row: int) -> Drawn:
    """Draws a row's picture, which may be an earlier row's, or a repeat of one."""
    while row:
        rng = stream.rng(row, _LOOK)
        if rng.random() >= DUPLICATE_SHARE:
            return draw_face(rng)
        row = int(rng.integers(row))
    return draw_face(stream.rng(0, _LOOK))


def _face(stream: _Stream, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws and labels one row: uint8 (96, 96) and float32 (15, 2)."""
    drawn, source = _draw(stream, row), _source(stream, row)
    return drawn.image, _label(stream.rng(row, _LABEL), drawn, source)


def _label(rng: np.random.Generator, drawn: Drawn, source: str) -> np.ndarray:
    exact = getattr(drawn, source)
    noisy = exact + rng.normal(0, LABEL_NOISE[source], exact.shape)
    kept = np.arange(len(exact)) if source == "full" else np.array(KAGGLE_15.subset("dense"))
    if rng.random() < GROSS_ERRORS:
        noisy[rng.choice(kept)] += rng.choice([-1, 1], 2) * rng.uniform(6, 20, 2)
    if rng.random() < INCOMPLETE[source]:
        most = 7 if source == "full" else 1
        kept = rng.permutation(kept)[min(int(rng.geometric(0.5)), most) :]
    labels = np.full(exact.shape, np.nan, np.float32)
    labels[kept] = np.clip(np.rint(noisy[kept] * _LABEL_STEPS) / _LABEL_STEPS, 0, SIZE - 1)
    return labels


class _Asked(NamedTuple):
    image: int
    feature: str
    location: float
    usage: str


def _asked(stream: _Stream, truth: np.ndarray) -> Iterator[_Asked]:
    for row, labels in enumerate(truth):
        usage = "Public" if stream.rng(row, _USAGE).random() < 0.5 else "Private"
        for feature, location in zip(KAGGLE_15.columns, labels.ravel(), strict=True):
            if not np.isnan(location):
                yield _Asked(row + 1, feature, float(location), usage)


def _write_answers(folder: Path, asked: list[_Asked]) -> None:
    def write(name: str, header: str, lines: Iterable[str]) -> None:
        write_text(folder / name, "\n".join([header, *lines, ""]))

    ids = [f"{row},{a.image},{a.feature}" for row, a in enumerate(asked, 1)]
    answers = (f"{i},{a.location:.6f},{a.usage}" for i, a in zip(ids, asked, strict=True))
    write("IdLookupTable.csv", "RowId,ImageId,FeatureName,Location", (f"{i}," for i in ids))
    write("SampleSubmission.csv", "RowId,Location", (f"{i},0" for i in range(1, len(ids) + 1)))
    write("solution.csv", "RowId,ImageId,FeatureName,Location,Usage", answers)


def _write_big(folder: Path, stem: str, zipped: bool, lines: Iterable[bytes]) -> None:
    path = folder / f"{stem}.{'zip' if zipped else 'csv'}"
    with replacing(path) as beside:
        if zipped:
            # A fixed date, so that the same seed gives the same bytes.
            member = zipfile.ZipInfo(f"{stem}.csv", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            with (
                zipfile.ZipFile(beside, "w", compresslevel=1) as archive,
                archive.open(member, "w") as file,
            ):
                file.writelines(lines)
        else:
            with beside.open("wb") as file:
                file.writelines(lines)
        (folder / f"{stem}.{'csv' if zipped else 'zip'}").unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    big = [f"{stem}.{end}" for stem in ("training", "test") for end in ("csv", "zip")]
    try:
        found = [name for name in (*big, *_ANSWERS) if (folder / name).exists()]
        marked = (folder / MARKER).exists()
    except OSError as error:
        raise KfkdError(f"cannot write {folder}: {error.strerror or error}") from error
    if found and not marked:
        raise KfkdError(
            f"built-in faces would replace {', '.join(found)} in {folder}, which has no {MARKER}; "
            "give an empty folder or one of built-in faces"
        )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """For each grey value its digits and a space, (256, 4) uint8, and which of them count."""
    texts = [f"{value} ".encode() for value in range(256)]
    table = np.frombuffer(b"".join(text.ljust(4, b"\0") for text in texts), np.uint8)
    return table.reshape(256, 4), table.reshape(256, 4) > 0


_DIGITS, _COUNT = _digits()


def _pixels(image: np.ndarray) -> bytes:
    grey = image.ravel()
    return _DIGITS[grey][_COUNT[grey]].tobytes()[:-1]


def _training_csv(stream: _Stream) -> Iterator[bytes]:
    yield ",".join((*KAGGLE_15.columns, "Image")).encode() + b"\n"
    for row in range(stream.n):
        image, labels = _face(stream, row)
        values = ("" if np.isnan(value) else f"{value:.6f}" for value in labels.ravel())
        yield ",".join(values).encode() + b"," + _pixels(image) + b"\n"


def _test_csv(stream: _Stream, truth: np.ndarray) -> Iterator[bytes]:
    """Lines of test.csv; fills `truth` (n, 15, 2) on the way, as drawing costs the most."""
    yield b"ImageId,Image\n"
    for row in range(stream.n):
        image, truth[row] = _face(stream, row)
        yield f"{row + 1},".encode() + _pixels(image) + b"\n"
