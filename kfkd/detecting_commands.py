"""What the options of `kfkd detect` ask for."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError
from kfkd.photosets import PhotoSet
from kfkd.pretrained import pretrained_folder, run_and_rest

_PASSED = ("faces", "least_score", "refine", "batch_size", "quiet")


def asked(options: Namespace) -> dict[str, Any]:
    """Arguments of `kfkd.detect`, or of `kfkd.detect_video` where there is a video.

    Args:
        options: of the command line.

    Raises:
        KfkdError: when there are neither photos nor a video, or both, or one that is absent.
        DataError: when the data set of --boxes cannot be read.
    """
    _check_there(options.inputs)
    run, photos = run_and_rest(options.inputs)
    given = _given_boxes(options)
    if given is not None:
        photos = photos or list(dict.fromkeys(given.paths))
    if bool(photos) == (options.video is not None):
        raise KfkdError("kfkd detect wants photos, or --video SOURCE")
    boxes = options.box if given is None else given
    settings = {key: vars(options)[key] for key in _PASSED} | {"run": run, "boxes": boxes}
    settings["detector"] = options.detector or ("mtcnn" if boxes is None else "box")
    if options.video is None:
        return {**settings, "photos": photos, "out": options.out}
    return {**settings, "source": options.video, "out": options.out or "kfkd-detect"}


def _check_there(inputs: Sequence[str]) -> None:
    """Says of a lone name that nothing is there, before anything is loaded for it."""
    absent = [name for name in inputs if not Path(name).expanduser().exists()]
    if len(inputs) == 1 and absent and pretrained_folder(inputs[0]) is None:
        raise KfkdError(f"{inputs[0]}: there is no such photo, and no such run")


def _given_boxes(options: Namespace) -> PhotoSet | None:
    """Photos of the data set that --boxes names."""
    if options.boxes is None:
        return None
    if options.box or options.video is not None:
        raise KfkdError("--boxes is for photos, and goes without --box and --video")
    from kfkd.pipelines.photo_sources import load_photos
    from kfkd.pipelines.source_text import photo_source

    named = photo_source(options.boxes)
    if named is None:
        raise KfkdError(f"--boxes wants NAME:PATH, such as ibug:DIR. Received: {options.boxes!r}")
    return load_photos(named[0], named[1], named[2].get("part", "train"), quiet=True)
