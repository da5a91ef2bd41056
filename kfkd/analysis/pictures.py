"""The pictures of an error analysis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfkd.analysis.charts import error_curves, keypoint_bars, property_bars
from kfkd.analysis.doubt_charts import doubt_curves
from kfkd.analysis.measures import Errors
from kfkd.analysis.rows import Predicted
from kfkd.doubts.calibration import Calibration
from kfkd.drawing.figures import save_figure
from kfkd.drawing.sheets import face_sheet
from kfkd.metrics import predicted_points
from kfkd.nme import point_distances

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kfkd.analysing import Analysis


def draw_analysis(
    found: Analysis,
    seen: Predicted,
    errors: Errors,
    fitted: Calibration | None,
    out: Path,
) -> list[Path]:
    """Writes the pictures of an analysis.

    Args:
        found: the analysis.
        seen: its faces and predictions.
        errors: theirs.
        fitted: what the doubt is worth; None = there is none.
        out: the folder to write into.

    Returns:
        The files: worst.png, keypoints.png, properties.png, errors.png, and with a doubt
        doubt.png.
    """
    name, faces = found.name, seen.faces
    figures = {
        "worst.png": worst_sheet(found, seen),
        "keypoints.png": keypoint_bars(found.keypoints, f"{name}: error of each keypoint"),
        "properties.png": property_bars(found.bins, f"{name}: error by a face's properties"),
        "errors.png": error_curves(errors, faces, name),
    }
    if fitted is not None and found.doubt is not None:
        sigma = fitted.sigma(seen.doubt, faces.source)
        far = point_distances(faces.keypoints, seen.points)
        known = np.isfinite(far) & np.isfinite(sigma)
        figures["doubt.png"] = doubt_curves(found.doubt, sigma[known], far[known], name)
    return [save_figure(figure, out / file) for file, figure in figures.items()]


def worst_sheet(found: Analysis, seen: Predicted) -> Figure:
    """The worst images, each label joined with its prediction.

    Args:
        found: names them.
        seen: the faces and predictions.
    """
    worst, faces = found.scores.worst, seen.faces
    place = {int(number): i for i, number in enumerate(faces.ids)}
    rows = np.array([place[number] for number, _, _ in worst])
    truth, points = (
        p[rows][:, predicted_points(seen.points)] for p in (faces.keypoints, seen.points)
    )
    # Predictions without a label to compare with would only hide the others.
    points = np.where(np.isnan(truth), np.nan, points)
    several = len(set(faces.source.tolist())) > 1
    sources = [f", {faces.source[i]}" if several else "" for i in rows]
    titles = [
        f"row {number}: {error:.2f} px\n{share:.1%} of all error{source}"
        for (number, error, share), source in zip(worst, sources, strict=True)
    ]
    title = (
        f"The {len(worst)} worst of {len(faces)} faces: {sum(w[2] for w in worst):.0%} of the "
        "squared error"
    )
    names = ("label", "prediction")
    return face_sheet(
        np.asarray(faces.images[rows]), truth, points, titles, title=title, names=names, joined=True
    )
