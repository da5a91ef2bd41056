"""Frames of a video or a camera, and videos written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.errors import DataError, WriteError
from kfkd.lazy import cv2
from kfkd.storage.files import replacing

_USUAL_RATE = 25.0


class Frames:
    """Frames of an open video; closes it at the end of a `with` block.

    Args:
        capture: an open `cv2.VideoCapture`.
        live: whether it is a camera.
    """

    def __init__(self, capture: Any, live: bool) -> None:
        self._capture, self.live = capture, live
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if 0 < rate < 1000 else _USUAL_RATE
        self.cut_short = ""  # after the last frame: what to say of a file that lacks some

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds since the start and RGB pixels, uint8 (h, w, 3), of each frame."""
        number = 0
        while True:
            there, pixels = self._capture.read()
            if not there:
                self._end(number)
                return
            yield number / self.rate, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
            number += 1

    def _end(self, number: int) -> None:
        told = 0.0 if self.live else float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        # The count of a whole file may be one off, that of a long one an estimate.
        if told - number > max(1, told / 100):
            self.cut_short = f"only {number} of its {told:.0f} frames are there: it was cut short"

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *error: object) -> None:
        self._capture.release()


def open_video(source: str | Path | int) -> Frames:
    """Opens a video file or a camera.

    Args:
        source: a file, or a camera's number, also as text.

    Raises:
        DataError: when it cannot be opened.
    """
    path = Path(str(source)).expanduser()
    live = str(source).isdecimal() and not path.is_file()
    if not live and not path.is_file():
        raise DataError("there is no such video", file=path)
    if not _is_utf8(path):
        raise DataError(_NO_UTF8, file=path)
    logging: Any = cv2.utils.logging  # type: ignore[attr-defined]
    said = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # a page for a camera that is not there
    try:
        capture = cv2.VideoCapture(int(str(source))) if live else cv2.VideoCapture(str(path))
    finally:
        logging.setLogLevel(said)
    if not capture.isOpened():
        capture.release()
        what = "no camera answers" if live else "is no video that OpenCV can read"
        raise DataError(what, file=f"camera {source}" if live else str(source))
    return Frames(capture, live)


class VideoWriter:
    """Writes frames of the first one's size.

    Args:
        path: an .mp4 file.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._size = (0, 0)
        self._writer: Any = None
        self.frames = 0

    def add(self, picture: np.ndarray) -> None:
        """Adds a frame; does nothing where OpenCV has no codec for the format.

        Args:
            picture: uint8 (h, w, 3), RGB.
        """
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, self._size)
        if not self._writer.isOpened():
            return
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.release()


@contextmanager
def video_writer(path: str | Path, rate: float) -> Iterator[VideoWriter]:
    """A video that is there when the block ends well and a frame was written, else not at all.

    Args:
        path: an .mp4 file to make or replace.
        rate: frames a second.

    Yields:
        What takes the frames.

    Raises:
        WriteError: when it cannot be written whole.
    """
    if not _is_utf8(Path(path)):
        raise WriteError(path, _NO_UTF8)
    with suppress(_Nothing), replacing(path) as beside:
        writer = VideoWriter(beside, rate)
        try:
            yield writer
        finally:
            writer.close()
        if not writer.frames:
            raise _Nothing
        if not _has_index(beside):  # OpenCV tells nobody that the disk is full
            raise WriteError(path, "it was cut short; is the disk full?")


_NO_UTF8 = "OpenCV takes no names that are not UTF-8; rename it"


def _is_utf8(path: Path) -> bool:
    """Whether a name is text throughout; OpenCV ends the process at one that is not."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_index(path: Path) -> bool:
    """Whether an .mp4 file has what is written last, without which nothing can play it."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.rfind(b"moov") >= 0


class _Nothing(Exception):
    """Leaves `replacing` without a file."""
