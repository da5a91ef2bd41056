"""Pictures of the 68-point field's scores: the CED curve."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.ced import LIMIT, auc, ced, failure_rate
from kfkd.drawing.figures import REFERENCE, new_figure, plain_axes
from kfkd.errors import KfkdError
from kfkd.nme import EYES, nme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REFERENCES = ("mean face",)
_LETTERS = 72  # as many as a line below the axes holds


def ced_curve(
    errors: Mapping[str, np.ndarray],
    limit: float = LIMIT,
    title: str | None = None,
    unit: str = EYES,
) -> Figure:
    """Which share of the images has an error of at most x, a curve for each predictor.

    Args:
        errors: for each predictor the errors (n,) of `kfkd.nme.image_nme`; put "mean face" beside
            the models, it is drawn dashed.
        limit: where the curve ends.
        title: above the curves.
        unit: what errors are shares of.

    Returns:
        The figure; its legend gives NME, AUC and failure rate.

    Raises:
        KfkdError: when there is no predictor, or one without a measured image.

    Example:
        >>> figure = ced_curve({"net": np.array([0.02, 0.03, 0.05]), "mean face": np.full(3, 0.1)})
    """
    if not errors:
        raise KfkdError("ced_curve wants at least one predictor. Received: none")
    figure = new_figure(6.4, 4.8, layout="constrained")
    axes = figure.add_subplot()
    for name, values in errors.items():
        if np.isnan(values).all():
            raise KfkdError(f"ced_curve wants measured images. Received: none of {name}")
        x, shares = ced(values, limit)
        style: dict[str, Any] = (
            {"color": REFERENCE, "linestyle": "--"} if name in _REFERENCES else {}
        )
        axes.plot(100 * x, 100 * shares, lw=1.6, label=_told(name, values, limit), **style)
    axes.set_xlim(0, 100 * limit)
    axes.set_ylim(0, 101)
    below = fill(f"normalised mean error in % of {unit}", _LETTERS)
    axes.set_xlabel(below)
    axes.set_ylabel("images with at most this error, %")
    place = (0.5, -0.14 - 0.05 * below.count("\n"))
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=place)
    if title:
        axes.set_title(title, fontsize=11)
    plain_axes(axes)
    return figure


def _told(name: str, errors: np.ndarray, limit: float) -> str:
    return (
        f"{name}: NME {nme(errors):.2%}, AUC@{limit:g} {auc(errors, limit):.3f}, "
        f"failures {failure_rate(errors, limit):.1%}"
    )
