"""The pictures of a run: curves, errors, predictions and the worst cases."""

from __future__ import annotations

import numpy as np

from kfkd.curves import keypoint_error_bars, loss_curves
from kfkd.faces import FaceSet
from kfkd.figures import save_figure
from kfkd.pictures import prediction_sheet, worst_sheet
from kfkd.runs import Run

SHEET = 24
PICTURES = ("loss_curves.png", "keypoint_errors.png", "predictions.png", "worst.png")
"""The files that `draw_run` writes."""


def draw_run(run: Run, faces: FaceSet, predicted: np.ndarray) -> None:
    """Writes loss_curves.png, keypoint_errors.png, predictions.png and worst.png to a run's folder.

    Args:
        run: the run.
        faces: labelled faces that it did not learn from.
        predicted: (n, k, 2) in pixels, NaN = not predicted.
    """
    flat = {name: facts["mean_face"] for name, facts in run.record["subsets"].items()}
    known = {name: value for name, value in flat.items() if value is not None}
    save_figure(loss_curves(run.history(), run.name, known), run.folder / "loss_curves.png")
    bars = keypoint_error_bars(faces.keypoints, predicted, run.mean_face(), run.skeleton)
    save_figure(bars, run.folder / "keypoint_errors.png")
    drawn = np.random.Generator(np.random.Philox(run.record["settings"]["seed"]))
    rows = np.sort(drawn.permutation(len(faces))[:SHEET])
    sheet = prediction_sheet(faces, predicted, rows, f"{run.name}: faces drawn at random")
    save_figure(sheet, run.folder / "predictions.png")
    save_figure(worst_sheet(faces, predicted, SHEET), run.folder / "worst.png")
