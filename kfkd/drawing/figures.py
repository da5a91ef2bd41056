"""Matplotlib figures that need no display and leave pyplot's global state alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfkd.errors import KfkdError
from kfkd.storage.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH, PREDICTED, REFERENCE = "#2f7bff", "#e8202a", "#8a8a8a"
"""Colours of labels, of predictions and of what both are compared with."""

SOURCE_COLOURS = (TRUTH, "#f08c1e", "#3ba55d", "#9b5de5")
"""Colours of label sources, in the order of `kfkd.statistics.sources_of`."""

DPI = 110
"""Pixels per inch of every picture."""


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """A figure on the Agg canvas, outside pyplot's global state.

    Args:
        width: in inches.
        height: in inches.
        settings: handed to `matplotlib.figure.Figure`, such as `layout="constrained"`.

    Example:
        >>> axes = new_figure(4, 3).add_subplot()
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", **settings)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = DPI) -> Path:
    """Writes a figure to `path`, whole or not at all; the suffix names the format.

    Args:
        figure: what to write.
        path: the file to make or replace, such as "faces.png".
        dpi: pixels per inch.

    Returns:
        The path.

    Raises:
        KfkdError: when the folder cannot be written or the suffix is no picture format.

    Example:
        >>> import tempfile
        >>> save_figure(new_figure(2, 1), f"{tempfile.mkdtemp()}/empty.png").name
        'empty.png'
    """
    path = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise KfkdError(
            f"a picture's suffix is one of {', '.join(sorted(kinds))}. Received: {path}"
        )
    with replacing(path) as beside:
        figure.savefig(beside, dpi=dpi)
    return path


def plain_axes(axes: Axes) -> None:
    """Takes the frame's upper and right line away and lays a light grid below the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
