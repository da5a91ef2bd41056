"""What lies beside an exported model: all that its user has to know."""

from __future__ import annotations

from typing import Any

from kfkd.errors import KfkdError
from kfkd.exports.graph import INPUT, OUTPUT
from kfkd.machine import versions
from kfkd.runs import Run

_CENTRES = "(x, y) in pixels of the image, origin = centre of its top-left pixel; NaN = not known"
_SCORES = ("model", "mean_face", "on", "images", "values")


def export_facts(run: Run, form: str, source: str | None) -> dict[str, Any]:
    """The facts as they go into the JSON file; no path of this machine is among them.

    Args:
        run: as it was exported.
        form: name of the format.
        source: as which label source it answers; None = it knows none.
    """
    frame = list(run.model(run.subsets[0]).input_shape[1:])
    names, data = list(run.skeleton.points), run.record["data"]
    known = {i for subset in run.subsets for i in run.skeleton.subset(subset)}
    return {
        "model": run.name,
        "format": form,
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": ["n", *frame],
            "content": "faces, pixels 0–255, cropped as those that the model learned from",
        },
        "output": {
            "name": OUTPUT,
            "dtype": "float32",
            "shape": ["n", len(names), 2],
            "content": _CENTRES,
        },
        "keypoints": names,
        "not_predicted": [name for i, name in enumerate(names) if i not in known],
        "source": source,
        "skeleton": run.skeleton.as_dict(),
        "subsets": {subset: _part(run, subset) for subset in run.subsets},
        "crop": _crop(run),
        "scores": {key: run.metrics[key] for key in _SCORES if key in run.metrics},
        "data": {key: data[key] for key in ("origin", "rows", "fingerprint") if key in data},
        "versions": versions(),
    }


def _part(run: Run, subset: str) -> dict[str, Any]:
    return {
        "codec": run.codec(subset).config(),
        "views": run.views(subset).config(),
        "by_source": run.by_source(subset),
    }


def _crop(run: Run) -> dict[str, Any] | None:
    try:
        return run.crop_rule.as_dict()
    except KfkdError:
        return None
