"""One of Kaggle's files, found in a folder or inside its zips, and opened where it lies."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kfkd.errors import DataError, KfkdError
from kfkd.storage.unpacking import BROKEN, refuse_bomb

SINGLE_ZIP = "facial-keypoints-detection.zip"


@dataclass(frozen=True)
class Member:
    """One CSV file, plain or inside zips.

    Args:
        file: the file on disk.
        inside: names to follow inside it: none, ("training.csv",) or ("training.zip", …).
    """

    file: Path
    inside: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How messages call it, such as "data/training.zip/training.csv"."""
        return "/".join((str(self.file), *self.inside))

    @contextmanager
    def open(self) -> Iterator[tuple[IO[bytes], int]]:
        """Opens it without unpacking anything to disk.

        Yields:
            The bytes, and how many they are.

        Raises:
            DataError: when it cannot be opened or, also later, read.
        """
        with _reading(self.name), ExitStack() as stack:
            stream: IO[bytes] = stack.enter_context(self.file.open("rb"))
            size = self.file.stat().st_size
            for depth, wanted in enumerate(self.inside, start=1):
                archive = stack.enter_context(zipfile.ZipFile(stream))
                refuse_bomb(archive, size)
                entry = archive.getinfo(_entry(archive, wanted) or wanted)
                stream, size = stack.enter_context(archive.open(entry)), entry.file_size
                if depth < len(self.inside):  # a zip is read back to front: it needs seeking
                    stream = io.BytesIO(stream.read())
            yield stream, size


def find_member(path: str | Path, name: str) -> Member | None:
    """Looks for one of Kaggle's files.

    Args:
        path: a folder with `name`, its zip or the single zip; or such a file itself.
        name: "training.csv", "test.csv" or "IdLookupTable.csv".

    Returns:
        Where it is, None where the folder or the zip does not hold it.

    Raises:
        DataError: when `path` cannot be read, or is a broken zip.

    Example:
        >>> find_member("data/training.csv", "training.csv").name  # doctest: +SKIP
        'data/training.csv'
    """
    path = Path(path)
    try:
        found = sorted(os.listdir(path)) if path.is_dir() else None  # noqa: PTH208
        path.stat()
    except OSError as error:
        message = f"cannot be read: {error.strerror}; wanted {wanted_files(name)}"
        raise DataError(message, file=path) from error
    zipped = _zipped(name)
    if found is None:
        return _in_zip(path, name) if path.suffix.lower() == ".zip" else Member(path)
    if name in found:
        return Member(path / name)
    if zipped in found:
        return Member(path / zipped, (name,))
    return _in_zip(path / SINGLE_ZIP, name) if SINGLE_ZIP in found else None


def wanted_files(name: str) -> str:
    """What a message asks for where a file is not found.

    Example:
        >>> wanted_files("test.csv")
        'test.csv, test.zip or facial-keypoints-detection.zip, or a folder with one of them'
    """
    return f"{name}, {_zipped(name)} or {SINGLE_ZIP}, or a folder with one of them"


def beside(member: Member, name: str) -> Member | None:
    """Looks for another of Kaggle's files in the same zip, then in the same folder."""
    same = _in_zip(member.file, name) if member.inside else None
    return same or find_member(member.file.parent, name)


def _in_zip(file: Path, name: str) -> Member | None:
    """The member `name` of a zip, or the inner zip that should hold it."""
    with _reading(str(file)), zipfile.ZipFile(file) as archive:
        for inside in ((name,), (_zipped(name), name)):
            if _entry(archive, inside[0]):
                return Member(file, inside)
    return None


def _zipped(name: str) -> str:
    return name.removesuffix(".csv") + ".zip"


def _entry(archive: zipfile.ZipFile, wanted: str) -> str | None:
    """The path of a file inside a zip, whichever folder it is in there."""
    names = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
    return next((name for name in names if name.rsplit("/", 1)[-1] == wanted), None)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turns whatever goes wrong in files and zips into a DataError."""
    try:
        yield
    except DataError:
        raise
    except KfkdError as error:  # of one that unpacks to far too much
        raise DataError(str(error), file=name) from error
    except KeyError as error:
        raise DataError(f"is not there: {error.args[0]}", file=name) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", file=name) from error
    except BROKEN as error:
        message = f"is damaged or not a zip: {error or 'it ends too early'}"
        raise DataError(message, file=name) from error
