"""What a run is worth on its held-out images, as its run.json has it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from kfkd.doubts.scoring import fit_to_run
from kfkd.faces import FaceSet
from kfkd.runs import Run
from kfkd.scoring import score_faces


def measured(run: Run, faces: FaceSet, on: str) -> tuple[dict[str, Any], np.ndarray]:
    """A run's scores.

    Args:
        run: with trained models.
        faces: with labels.
        on: what they are of the run's: "validation" or "training".

    Returns:
        The scores for run.json, with what the run's doubt is worth where they tell; and the
        answers that were scored, (n, k, 2) in pixels.
    """
    predicted, doubt = run.predict_with_doubt(faces.images, source=faces.source)
    scores = score_faces(faces, predicted, run.record["mean_face"]).as_dict()
    # Doubts of learned images are too small, as their errors are.
    worth = fit_to_run(run, faces, predicted, doubt) if on == "validation" else None
    told = {} if worth is None else {"doubt": worth.config()}
    scores.pop("learned")  # `on` says it
    # Through JSON, so that a fresh run and one that is opened again hold the same.
    return json.loads(json.dumps({**scores, **told, "on": on})), predicted
