"""Learning from other runs' answers: labels that a face lacks are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kfkd.answering import answers
from kfkd.corrections import with_all_corrections
from kfkd.errors import RunError
from kfkd.faces import FaceSet
from kfkd.progress import say
from kfkd.runs import Run


def taught(faces: FaceSet, teachers: Sequence[Run], share: float, quiet: bool = False) -> FaceSet:
    """The same faces, with what the teachers see where a label is missing.

    So a net with points for each of Kaggle's two label sources learns all of them from every image
    (after Radosavovic et al., "Data distillation: towards omni-supervised learning", 2018: the
    teachers answer with their test-time views, the student learns under augmentation).

    Args:
        faces: keypoints (n, k, 2) in pixels, NaN = missing.
        teachers: finished runs that answer with all of these points; of several the mean counts.
        share: how much of a label that is there comes from the teachers, in [0, 1].
        quiet: no progress.

    Returns:
        Faces whose keypoints are all known.

    Raises:
        RunError: when a teacher lacks a point, or learned from images of another size.
    """
    say(f"{len(teachers)} teachers look at {len(faces)} training images", quiet)
    seen = np.mean([_seen(run, faces) for run in teachers], axis=0, dtype=np.float32)
    labels = faces.keypoints
    blended = (1 - np.float32(share)) * labels + np.float32(share) * seen
    return replace(faces, keypoints=np.where(np.isnan(labels), seen, blended))


def _seen(run: Run, faces: FaceSet) -> np.ndarray:
    """A run's answers (n, k, 2), its points in the order of the faces'."""
    found: dict[str, np.ndarray] = {}
    for subset in run.subsets:
        points = with_all_corrections(run, subset, answers(run, subset, faces.images, None))
        found |= {name: points[:, i, :2] for i, name in enumerate(run.points(subset))}
    if lacking := [name for name in faces.skeleton.points if name not in found]:
        raise RunError(
            f"{run.folder} cannot teach {lacking[0]}: it answers with {', '.join(found)}"
        )
    return np.stack([found[name] for name in faces.skeleton.points], axis=1)
