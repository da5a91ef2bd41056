"""Keypoints of faces in a video or in front of a camera."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.detecting_checks import check_boxes, check_count
from kfkd.detections import DetectedFace, face_rows, header
from kfkd.drawing.photo_pictures import draw_faces
from kfkd.errors import DataError
from kfkd.finding import KeypointFinder, Which
from kfkd.pipelines.detectors import Detector, Detects, GivenBoxes
from kfkd.pipelines.detectors import detector as detector_of
from kfkd.pipelines.photo_reading import chunks
from kfkd.pipelines.photos import Photo, read_photo
from kfkd.pipelines.video import VideoWriter, open_video, video_writer
from kfkd.progress import Ticker, say
from kfkd.runs import Run, finished_run
from kfkd.storage.files import replacing


@dataclass(frozen=True)
class VideoFaces:
    """What was found in a video.

    Args:
        frames: read.
        faces: found in all of them.
        empty: frames without a face.
        table: keypoints.csv.
        video: the video with boxes and points, None where OpenCV has no codec for it.
    """

    frames: int
    faces: int
    empty: int
    table: Path
    video: Path | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        video = None if self.video is None else str(self.video)
        counts = {"frames": self.frames, "faces": self.faces, "without_face": self.empty}
        return {**counts, "table": str(self.table), "video": video}


def detect_video(
    run: Run | str | Path,
    source: str | Path | int,
    out: str | Path = "kfkd-detect",
    *,
    detector: Detects = "mtcnn",
    faces: Which = "all",
    least_score: float | None = None,
    boxes: GivenBoxes | None = None,
    refine: int = 0,
    batch_size: int = 32,
    most_frames: int | None = None,
    quiet: bool = False,
) -> VideoFaces:
    """Finds faces and their keypoints in every frame of a video.

    Ctrl-C ends it as the end of the video does: what was found so far is written.

    Args:
        run: a run or its folder.
        source: a video file, or the number of a camera.
        out: a folder for keypoints.csv (frame, seconds, face, box, score, roll, keypoints) and
            faces.mp4.
        detector: as in `kfkd.detect`.
        faces: as in `kfkd.detect`.
        least_score: as in `kfkd.detect`.
        boxes: as in `kfkd.detect`.
        refine: as in `kfkd.detect`.
        batch_size: frames that go through the detector together, fewer where they are large; a
            camera's go one by one.
        most_frames: stop after these; None = at the end.
        quiet: no progress.

    Returns:
        How much was found, and where it was written.

    Raises:
        DataError: when the video cannot be opened or holds no frame, or a box lies outside.
        KfkdError: as `kfkd.detect`.
        RunError: as `kfkd.detect`.

    Example:
        >>> import kfkd
        >>> kfkd.detect_video("runs/doc", "party.mp4", "out")  # doctest: +SKIP
    """
    check_count("batch_size", batch_size)
    check_count("most_frames", most_frames)
    out = Path(out).expanduser()
    run = finished_run(run)
    chosen = detector_of(detector, least_score=least_score, boxes=boxes)
    finder = KeypointFinder(run, chosen, faces, refine)
    with ExitStack() as stack:
        frames = stack.enter_context(open_video(source))
        # The CSV is in place when the block ends well; Ctrl-C ends the loop, not the block.
        beside = stack.enter_context(replacing(out / "keypoints.csv"))
        file = stack.enter_context(beside.open("w", newline="", encoding="utf-8"))
        drawn = out / "faces.mp4"
        video = stack.enter_context(video_writer(drawn, frames.rate))
        log = _Log(csv.writer(file, lineterminator="\n"), video, run, quiet)
        try:
            read = ((f, _read(f[1], chosen)) for f in itertools.islice(frames, most_frames))
            for batch in chunks(read, 1 if frames.live else batch_size):
                answers = finder([photo for _, photo in batch])
                for (frame, _), found in zip(batch, answers, strict=True):
                    log.add(*frame, found)
        except KeyboardInterrupt:
            say(f"stopped after {log.frames} frames", quiet)
        log.ticker.clear()
        if not log.frames:
            raise DataError("no frame can be read", file=str(source))
    if frames.cut_short:
        say(f"{source}: {frames.cut_short}", quiet)
    table, written = out / "keypoints.csv", drawn if video.frames else None
    return VideoFaces(log.frames, log.faces, log.empty, table, written)


class _Log:
    """Writes frames as they are done, and counts."""

    def __init__(self, writer: Any, video: VideoWriter, run: Run, quiet: bool) -> None:
        self._writer, self._video = writer, video
        self.frames = self.faces = self.empty = 0
        self.ticker = Ticker(quiet)
        first, *rest = header("frame", run.skeleton.points, run.calibration is not None)
        writer.writerow([first, "seconds", *rest])

    def add(self, seconds: float, pixels: np.ndarray, found: Sequence[DetectedFace]) -> None:
        self.frames += 1
        self.faces += len(found)
        self.empty += not found
        self._writer.writerows(face_rows([self.frames, f"{seconds:.3f}"], found))
        self._video.add(draw_faces(pixels, found, fit=False))
        self.ticker.show(f"{self.frames} frames, {self.faces} faces")


def _read(pixels: np.ndarray, detector: Detector) -> Photo:
    photo = read_photo(pixels)
    check_boxes(photo, detector)
    return photo
