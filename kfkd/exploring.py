"""The look at the data that comes before any training: numbers, pictures and rows to doubt."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces
from kfkd.duplicates import DuplicateGroup, disagreement, duplicate_groups
from kfkd.errors import KfkdError
from kfkd.exploration.text import as_markdown, as_text
from kfkd.faces import FaceSet
from kfkd.outliers import outliers
from kfkd.statistics import (
    column_statistics,
    convention_gap,
    mean_face_scores,
    pixel_statistics,
    row_statistics,
)
from kfkd.storage.files import write_json, write_text

FILES = (
    *("columns.csv", "duplicates.csv", "outliers.csv", "summary.json", "summary.md"),
    *("missing.png", "positions.png", "distributions.png", "faces.png", "duplicates.png"),
    *("outliers.png", "brightness.png"),
)
"""Every file that an exploration may leave."""

_PATIENCE = 2.0
"""Seconds after which progress is told."""


@dataclass(frozen=True)
class Exploration:
    """What a look at the data found.

    Args:
        out: the folder with its files.
        summary: all numbers, as in summary.json: None stands for what there is not.
    """

    out: Path
    summary: dict[str, Any]

    def table(self) -> str:
        """The findings as text for a terminal, about 100 characters wide."""
        return as_text(self.summary)


def explore(data: Any = None, out: str | Path = "kfkd-explore", quiet: bool = False) -> Exploration:
    """Looks at labelled faces: what is missing, who labelled what, duplicates, outliers, pixels.

    The files are columns.csv, duplicates.csv, outliers.csv, summary.json, summary.md and up to
    seven pictures. A rerun replaces them and takes away those that no longer apply; a file is
    written whole or not at all.

    Args:
        data: faces, a path of Kaggle's files, "synthetic" or images; None = where Kaggle's files
            usually are, else built-in faces.
        out: the folder for the files, made where absent.
        quiet: tell no progress; otherwise a line a step on standard error after two seconds.

    Returns:
        The folder and the numbers.

    Raises:
        KfkdError: when there is no face, the data cannot be read or the folder not be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from kfkd.faces import FaceSet, image_groups
        >>> from kfkd.skeletons import KAGGLE_15
        >>> images = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 1), np.uint8)
        >>> points = np.full((4, 15, 2), 48, np.float32)
        >>> source, ids = np.full(4, "full"), np.arange(1, 5)
        >>> faces = FaceSet(images, points, KAGGLE_15, source, image_groups(images), ids)
        >>> explore(faces, tempfile.mkdtemp(), quiet=True).summary["rows"]["complete"]
        4
    """
    tell = _progress(quiet)
    tell("reading the data")
    faces = as_faces(data, quiet=quiet)
    if not len(faces):
        place = faces.path or faces.origin
        raise KfkdError(f"explore wants at least one face. Received: 0 from {place}")
    out = Path(out)
    tell("counting")
    groups, findings = duplicate_groups(faces), outliers(faces)
    summary = _plain(_summary(faces, groups, findings))
    written = _write_tables(faces, groups, findings, summary, out)
    written += _draw(faces, groups, findings, out, tell)
    summary["files"] = sorted([*written, "summary.json", "summary.md"])
    write_json(out / "summary.json", summary)
    write_text(out / "summary.md", as_markdown(summary))
    for name in set(FILES) - set(summary["files"]):
        (out / name).unlink(missing_ok=True)
    return Exploration(out, summary)


def _summary(
    faces: FaceSet, groups: Sequence[DuplicateGroup], findings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "data": {
            "origin": faces.origin,
            "path": str(faces.path),
            "fingerprint": faces.fingerprint,
            "image": list(faces.images.shape[1:]),
            "skeleton": faces.skeleton.name,
            "keypoints": len(faces.skeleton),
            "notes": list(faces.notes),
        },
        "rows": row_statistics(faces),
        "columns": column_statistics(faces.keypoints, faces.skeleton.columns),
        "mean_face": mean_face_scores(faces),
        "conventions": convention_gap(faces),
        "duplicates": disagreement(faces, groups),
        "outliers": [{k: v for k, v in f.items() if k != "position"} for f in findings],
        "pixels": pixel_statistics(faces),
    }


def _write_tables(
    faces: FaceSet,
    groups: Sequence[DuplicateGroup],
    findings: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    out: Path,
) -> list[str]:
    duplicates = [
        {
            "group": f"{group.group:016x}",
            "rows": " ".join(str(faces.ids[i]) for i in group.rows),
            "sources": " ".join(str(faces.source[i]) for i in group.rows),
            "max_disagreement_px": group.disagreement,
        }
        for group in groups
    ]
    heads: dict[str, tuple[Sequence[Mapping[str, Any]], tuple[str, ...]]] = {
        "columns.csv": (summary["columns"], tuple(summary["columns"][0])),
        "duplicates.csv": (duplicates, ("group", "rows", "sources", "max_disagreement_px")),
        "outliers.csv": (findings, ("rank", "row", "source", "reason", "value", "deviations")),
    }
    for name, (rows, head) in heads.items():
        write_text(out / name, _csv(rows, head))
    return list(heads)


def _csv(rows: Sequence[Mapping[str, Any]], head: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        cells = [_plain(row[name]) for name in head]
        writer.writerow([f"{c:.4f}" if isinstance(c, float) else c for c in cells])
    return text.getvalue()


def _draw(
    faces: FaceSet,
    groups: Sequence[DuplicateGroup],
    findings: Sequence[Mapping[str, Any]],
    out: Path,
    tell: Callable[[str], None],
) -> list[str]:
    from kfkd.drawing.figures import save_figure
    from kfkd.exploration.pictures import exploration_pictures

    pictures = exploration_pictures(faces, groups, findings)
    for name, draw in pictures.items():
        tell(f"drawing {name}")
        save_figure(draw(), out / name)
    return list(pictures)


def _progress(quiet: bool) -> Callable[[str], None]:
    start = time.monotonic()

    def tell(step: str) -> None:
        passed = time.monotonic() - start
        if not quiet and passed > _PATIENCE:
            print(f"explore: {step} ({passed:.0f} s)", file=sys.stderr, flush=True)

    return tell


def _plain(value: Any) -> Any:
    """The value as JSON has it: NaN becomes None, NumPy's numbers become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
