"""The pictures of a training: faces with predictions, the best and the worst, curves and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kfkd.drawing.curves import keypoint_error_bars, loss_curves
from kfkd.drawing.figures import save_figure
from kfkd.drawing.sheets import face_sheet
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.metrics import image_errors, predicted_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "best_sheet",
    "face_sheet",
    "keypoint_error_bars",
    "loss_curves",
    "prediction_sheet",
    "save_figure",
    "worst_sheet",
]


def prediction_sheet(
    faces: FaceSet,
    predicted: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    title: str | None = None,
) -> Figure:
    """Chosen faces with labels, predictions and each one's RMSE in its title.

    Points that are predicted of no face are not drawn, here and in the other sheets.

    Args:
        faces: the faces.
        predicted: (n, k, 2) in pixels, for all of them.
        rows: positions of the chosen ones, from 0; the titles show their ids.
        title: above the sheet.

    Returns:
        The figure.

    Raises:
        KfkdError: when the shapes do not fit together, or no row is chosen.
    """
    rows = np.asarray(rows, int)
    picked, points = faces[rows], np.asarray(predicted)[rows]
    errors = image_errors(picked.keypoints, points)
    titles = [
        f"row {face}" if np.isnan(error) else f"row {face}: {error:.2f} px"
        for face, error in zip(picked.ids, errors, strict=True)
    ]
    shown = predicted_points(predicted)
    return face_sheet(
        picked.images, picked.keypoints[:, shown], points[:, shown], titles, title=title
    )


def worst_sheet(faces: FaceSet, predicted: np.ndarray, count: int = 24) -> Figure:
    """The faces with the most squared error, each with its RMSE and its share of the whole.

    Args:
        faces: faces, of which at least one is labelled.
        predicted: (n, k, 2) in pixels.
        count: how many to show at most.

    Returns:
        The figure.

    Raises:
        KfkdError: when no face has a label.
    """
    return _ranked_sheet(faces, predicted, count, best=False)


def best_sheet(faces: FaceSet, predicted: np.ndarray, count: int = 24) -> Figure:
    """The faces with the least RMSE, each with it and its share of the whole squared error.

    Args:
        faces: faces, of which at least one is labelled.
        predicted: (n, k, 2) in pixels.
        count: how many to show at most.

    Returns:
        The figure.

    Raises:
        KfkdError: when no face has a label.
    """
    return _ranked_sheet(faces, predicted, count, best=True)


def _ranked_sheet(faces: FaceSet, predicted: np.ndarray, count: int, best: bool) -> Figure:
    errors = image_errors(faces.keypoints, predicted)
    labelled = np.flatnonzero(~np.isnan(errors))
    if not len(labelled):
        name = "best_sheet" if best else "worst_sheet"
        raise KfkdError(f"{name} wants labelled faces. Received: {len(faces)} without a label")
    squares = np.nansum(np.square(faces.keypoints.astype(np.float64) - predicted), axis=(1, 2))
    # The worst are those that weigh most; among the best, few labels should be no merit.
    ranks = errors if best else -squares
    rows = labelled[np.argsort(ranks[labelled], kind="stable")][:count]
    share = squares / max(squares.sum(), np.finfo(float).tiny)
    titles = [f"row {faces.ids[i]}: {errors[i]:.2f} px\n{share[i]:.1%} of all error" for i in rows]
    whole = (
        f"The {len(rows)} {'best' if best else 'worst'} of {len(labelled)} faces: "
        f"{share[rows].sum():.0%} of the squared error"
    )
    truth, points = (p[rows][:, predicted_points(predicted)] for p in (faces.keypoints, predicted))
    return face_sheet(faces.images[rows], truth, points, titles, title=whole)
