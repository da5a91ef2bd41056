"""Looking into a run: the filters of its first layers, and what layers make of a face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.drawing.feature_pictures import maps_figure
from kfkd.drawing.figures import save_figure
from kfkd.drawing.filter_pictures import kernel_figure
from kfkd.errors import RunError
from kfkd.model_layers import (
    first_convolution,
    layer_outputs,
    layer_shapes,
    named_layers,
    stage_outputs,
)
from kfkd.pipelines.detectors import Detects
from kfkd.runs import Run, finished_run
from kfkd.seen_images import Seen, seen_image
from kfkd.text import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filters_figure(run: Run | str | Path, subset: str | None = None) -> Figure:
    """The filters of a run's first convolution, a small picture for each and each input channel.

    Args:
        run: a run or its folder.
        subset: whose model; None = the run's first.

    Returns:
        The figure, a Matplotlib one.

    Raises:
        RunError: when the run is unfinished, or its model has no convolution to look at.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.filters_figure(run).savefig("filters.png")
    """
    run = finished_run(run)
    subset = run.subsets[0] if subset is None else subset
    found = first_convolution(run.model(subset))
    if found is None:
        raise RunError(f"{run.folder}: the model of {subset} has no Conv2D layer to draw")
    name, kernel = found
    return kernel_figure(kernel, f"{run.name}, {subset}: filters of {name}")


def features_figure(
    run: Run | str | Path,
    image: str | Path | int | np.ndarray,
    layers: Sequence[str] | None = None,
    *,
    subset: str | None = None,
    data: Any = None,
    detector: Detects = "mtcnn",
    quiet: bool = False,
) -> Figure:
    """What chosen layers of a run make of an image, a small picture for each of their maps.

    Args:
        run: a run or its folder.
        image: an image file or array (h, w), (h, w, c): of the size of the run's images it is
            taken as it is, else its biggest face is found and cropped as `kfkd.detect` does; or
            the number of a row of `data`, as tables and pictures give it.
        layers: names of `kfkd.seeing.layers_of`; None = the first, middle and last convolutional
            stage's outputs.
        subset: whose model; None = the run's first.
        data: where rows are looked up, see `kfkd.load_faces`; None = the run's own data.
        detector: finds the face, see `kfkd.detect`.
        quiet: no progress.

    Returns:
        The figure: the face with labels (blue) and predictions (red), below it a section a layer.

    Raises:
        DataError: when there is no such row or photo, or no face in it.
        RunError: when the run is unfinished, or its model gives no maps.
        UnknownName: when there is no such layer.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.features_figure(run, 1, data="synthetic").savefig("features.png")
    """
    run = finished_run(run)
    subset = run.subsets[0] if subset is None else subset
    seen = seen_image(run, image, subset, data=data, detects=detector, quiet=quiet)
    return _features(run, subset, seen, layers)


def draw_filters(run: Run | str | Path, out: str | Path) -> list[Path]:
    """Writes filters-SUBSET.png of each of a run's models.

    Args:
        run: a run or its folder.
        out: the folder to write into.

    Returns:
        The files.
    """
    run = finished_run(run)
    figures = {subset: filters_figure(run, subset) for subset in run.subsets}
    return [save_figure(f, Path(out, f"filters-{name}.png")) for name, f in figures.items()]


def draw_features(
    run: Run | str | Path,
    image: str | Path | int | np.ndarray,
    out: str | Path,
    layers: Sequence[str] | None = None,
    *,
    data: Any = None,
    detector: Detects = "mtcnn",
    quiet: bool = False,
) -> list[Path]:
    """Writes features-SUBSET.png of each of a run's models.

    Args:
        run: a run or its folder.
        image: as `features_figure` takes it.
        out: the folder to write into.
        layers: names of `layers_of`; None = three stages.
        data: where rows are looked up.
        detector: finds the face.
        quiet: no progress.

    Returns:
        The files.
    """
    run = finished_run(run)
    seen = seen_image(run, image, run.subsets[0], data=data, detects=detector, quiet=quiet)
    figures = {subset: _features(run, subset, seen, layers) for subset in run.subsets}
    return [save_figure(f, Path(out, f"features-{name}.png")) for name, f in figures.items()]


def layers_of(run: Run | str | Path, subset: str | None = None) -> list[dict[str, Any]]:
    """The layers of a run's model in the order of the computation.

    Args:
        run: a run or its folder.
        subset: whose model; None = the run's first.

    Returns:
        Dicts with name, kind, shape (without the batch) and drawn (by default).
    """
    run = finished_run(run)
    model = run.model(run.subsets[0] if subset is None else subset)
    shapes, layers = layer_shapes(model), named_layers(model)
    drawn = _chosen(stage_outputs(model, shapes))
    return [
        {
            "name": name,
            "kind": type(layers[name]).__name__,
            "shape": list(shape),
            "drawn": name in drawn,
        }
        for name, shape in shapes.items()
    ]


def layers_table(rows: Sequence[dict[str, Any]]) -> str:
    """What `layers_of` tells as text."""
    cells = [
        (
            row["name"],
            row["kind"],
            "×".join(map(str, row["shape"])),
            "yes" if row["drawn"] else "",
        )
        for row in rows
    ]
    return table(("layer", "kind", "gives", "by default"), cells)


def _features(run: Run, subset: str, seen: Seen, layers: Sequence[str] | None) -> Figure:
    model = run.model(subset)
    source = np.array([seen.source])
    predicted = run.predict(seen.image[None], subset=subset, source=source)[0]
    chosen = _chosen(stage_outputs(model, layer_shapes(model))) if layers is None else layers
    if not chosen:
        raise RunError(f"{run.folder}: the model of {subset} has no layer that gives maps")
    maps = layer_outputs(model, seen.image, chosen)
    truth = None if seen.truth is None else seen.truth[list(run.skeleton.subset(subset))]
    title = f"{run.name}, {subset}: what its layers make of {seen.name}"
    return maps_figure(maps, seen.image, title, truth, predicted)


def _chosen(stages: Sequence[str]) -> list[str]:
    """The first, the middle and the last, each once."""
    places = {0, len(stages) // 2, len(stages) - 1} if stages else set()
    return [stages[place] for place in sorted(places)]
