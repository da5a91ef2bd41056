"""Measuring where a data set's faces are: its crop rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfkd.crops import UNNAMED, CropRule
from kfkd.data import as_faces
from kfkd.errors import KfkdError
from kfkd.pipelines.crop_rules import Fit, fit_rule
from kfkd.pipelines.detectors import detector
from kfkd.progress import say
from kfkd.storage.files import read_json, write_json


def bench_crops(
    data: Any = None,
    detectors: Sequence[str] = ("mtcnn", "haar"),
    out: str | Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measures how a data set's images lie around the faces that detectors find in them.

    Args:
        data: whatever `kfkd.evaluate` takes; images that each show one face.
        detectors: names; "mtcnn" must be one of them.
        out: a table of crop rules (JSON) to put this one into.
        quiet: no progress.

    Returns:
        The rule, with "measured": found and missed images and spreads by detector.

    Raises:
        DataError: when the data cannot be read.
        KfkdError: when a detector finds next to nothing.
    """
    if UNNAMED not in detectors:
        raise KfkdError(f"a crop rule wants {UNNAMED} measured. Received: {', '.join(detectors)}")
    faces = as_faces(data, "train", quiet)
    fits = {}
    for name in detectors:
        fits[name] = fit_rule(faces, detector(name))
        say(f"{name}: {fits[name].found} of {len(faces)} found", quiet)
    rule = _rule(faces.origin, faces.images.shape[1:3], fits)
    made = {**rule.as_dict(), "measured": _facts(len(faces), fits)}
    if out is not None:
        table = read_json(out) if Path(out).is_file() else {}
        write_json(out, {**table, rule.name: made})
    return made


def _rule(name: str, size: tuple[int, int], fits: dict[str, Fit]) -> CropRule:
    frames = {fit.detector: fit.frame for fit in fits.values()}
    marks = {fit.detector: fit.landmarks for fit in fits.values() if fit.landmarks is not None}
    return CropRule(name, size, True, frames, marks)


def _facts(images: int, fits: dict[str, Fit]) -> dict[str, Any]:
    shown = ("found", "missed", "spread")
    by_detector = {n: {k: fit.as_dict()[k] for k in shown} for n, fit in fits.items()}
    command = f"kfkd bench crops --data DATA --detectors {' '.join(fits)}"
    return {"command": command, "images": images, "detectors": by_detector}
