"""The pictures of a run: curves, errors, predictions, the best and the worst cases."""

from __future__ import annotations

import numpy as np

from kfkd.drawing.curves import keypoint_error_bars, loss_curves
from kfkd.drawing.figures import save_figure
from kfkd.drawing.pictures import best_sheet, prediction_sheet, worst_sheet
from kfkd.faces import FaceSet
from kfkd.landmarks.curves import ced_curve
from kfkd.landmarks.scores import eye_errors
from kfkd.nme import length_told
from kfkd.runs import Run
from kfkd.skeletons import KAGGLE_15

SHEET = 24
PICTURES = (
    "loss_curves.png",
    "keypoint_errors.png",
    "predictions.png",
    "best.png",
    "worst.png",
    "ced.png",
)
"""The files that `draw_run` writes; the last one of other points than Kaggle's only."""


def draw_run(run: Run, faces: FaceSet, predicted: np.ndarray) -> None:
    """Writes the pictures of a run to its folder.

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
    save_figure(best_sheet(faces, predicted, SHEET), run.folder / "best.png")
    save_figure(worst_sheet(faces, predicted, SHEET), run.folder / "worst.png")
    _draw_ced(run, faces, predicted)


def _draw_ced(run: Run, faces: FaceSet, predicted: np.ndarray) -> None:
    """The 68-point field's curve, where the skeleton has a distance of eyes to measure by."""
    if faces.skeleton.points == KAGGLE_15.points or faces.skeleton.normaliser is None:
        return
    errors = eye_errors(faces, predicted, run.mean_face())
    if not np.isnan(errors["model"]).all():
        named = {run.name: errors["model"], "mean face": errors["mean face"]}
        curve = ced_curve(named, title=run.name, unit=length_told(faces.skeleton))
        save_figure(curve, run.folder / "ced.png")
