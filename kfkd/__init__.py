"""kfkd: a Keras model zoo for facial keypoints.

The names below are imported at their first use, so `import kfkd` costs nothing: neither
TensorFlow nor matplotlib is loaded before something needs it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

_HOME = {
    "train": "kfkd.training",
    "evaluate": "kfkd.evaluation",
    "predict": "kfkd.prediction",
    "pack": "kfkd.packing",
    "pretrained_ensembles": "kfkd.ensembles.packed",
    "pretrained_runs": "kfkd.pretrained",
    "submit": "kfkd.submitting",
    "score": "kfkd.submissions.scorer",
    "load_run": "kfkd.runs",
    "list_models": "kfkd.catalogue",
    "describe": "kfkd.describing",
    "build": "kfkd.building",
    "register": "kfkd.registry",
    "load_faces": "kfkd.pipelines.sources",
    "load_photos": "kfkd.pipelines.photo_sources",
    "list_data": "kfkd.datasets",
    "download_data": "kfkd.datasets",
    "explore": "kfkd.exploring",
    "export": "kfkd.exporting",
    "resume": "kfkd.training",
    "compare": "kfkd.comparing",
    "correct": "kfkd.correcting",
    "cross_validate": "kfkd.folding",
    "ensemble": "kfkd.ensembling",
    "analyse": "kfkd.analysing",
    "ladder": "kfkd.laddering",
    "audit": "kfkd.auditing",
    "tune": "kfkd.tuning",
    "draw_mix": "kfkd.augmenting",
    "detect": "kfkd.detecting",
    "detect_video": "kfkd.detecting_video",
    "filters_figure": "kfkd.seeing",
    "features_figure": "kfkd.seeing",
    "loss_figure": "kfkd.run_figures",
    "predictions_figure": "kfkd.run_figures",
    "ced_figure": "kfkd.run_figures",
    "Machines": "kfkd.machines.cluster",
}

__all__ = [
    "Machines",
    "__version__",
    "analyse",
    "audit",
    "build",
    "ced_figure",
    "compare",
    "correct",
    "cross_validate",
    "describe",
    "detect",
    "detect_video",
    "download_data",
    "draw_mix",
    "ensemble",
    "evaluate",
    "explore",
    "export",
    "features_figure",
    "filters_figure",
    "ladder",
    "list_data",
    "list_models",
    "load_faces",
    "load_photos",
    "load_run",
    "loss_figure",
    "pack",
    "predict",
    "predictions_figure",
    "pretrained_ensembles",
    "pretrained_runs",
    "register",
    "resume",
    "score",
    "submit",
    "train",
    "tune",
]
__version__ = "0.1.0"

# Four sub-packages live beside this folder in the source tree. An installed package holds them
# inside; started in the source tree, Python finds this bare folder first and needs the way out.
_source_tree = Path(__file__).resolve().parent.parent
if not (_source_tree / "kfkd" / "models").is_dir() and (_source_tree / "models").is_dir():
    __path__.append(str(_source_tree))

if TYPE_CHECKING:
    from kfkd.analysing import analyse
    from kfkd.auditing import audit
    from kfkd.augmenting import draw_mix
    from kfkd.building import build
    from kfkd.catalogue import list_models
    from kfkd.comparing import compare
    from kfkd.correcting import correct
    from kfkd.datasets import download_data, list_data
    from kfkd.describing import describe
    from kfkd.detecting import detect
    from kfkd.detecting_video import detect_video
    from kfkd.ensembles.packed import pretrained_ensembles
    from kfkd.ensembling import ensemble
    from kfkd.evaluation import evaluate
    from kfkd.exploring import explore
    from kfkd.exporting import export
    from kfkd.folding import cross_validate
    from kfkd.laddering import ladder
    from kfkd.machines.cluster import Machines
    from kfkd.packing import pack
    from kfkd.pipelines.photo_sources import load_photos
    from kfkd.pipelines.sources import load_faces
    from kfkd.prediction import predict
    from kfkd.pretrained import pretrained_runs
    from kfkd.registry import register
    from kfkd.run_figures import ced_figure, loss_figure, predictions_figure
    from kfkd.runs import load_run
    from kfkd.seeing import features_figure, filters_figure
    from kfkd.submissions.scorer import score
    from kfkd.submitting import submit
    from kfkd.training import resume, train
    from kfkd.tuning import tune


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kfkd' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
