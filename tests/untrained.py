"""Finished runs that nobody trained: a net's first weights, and the record that a run needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from kfkd.codecs import Codec
from kfkd.registry import entry
from kfkd.runs import Run, load_run
from kfkd.skeletons import KAGGLE_15, Skeleton
from kfkd.storage.files import write_json
from kfkd.views import Views


def untrained_run(
    folder: Path,
    models: dict[str, keras.Model],
    codec: Codec,
    *,
    name: str = "tiny",
    skeleton: Skeleton = KAGGLE_15,
    by_source: bool = False,
    views: Views | None = None,
    precision: str = "float32",
    **changed: Any,
) -> Run:
    """Writes a run of some models, as if each had been trained on its subset."""
    facts = {"codec": codec.config(), "views": (views or Views()).config(), "by_source": by_source}
    frame = list(next(iter(models.values())).input_shape[1:])
    scores = {"kaggle_rmse": 1.5}
    record = {
        "model": name,
        "status": "finished",
        "skeleton": skeleton.name,
        "settings": {
            "model": name,
            "subsets": list(models),
            "recipe": {},
            "seed": 0,
            "precision": precision,
        },
        "data": {"origin": "synthetic", "path": "/home/me", "fingerprint": "0", "image": frame},
        "split": {"seed": 0, "share": 0.1},
        "subsets": dict.fromkeys(models, facts),
        "mean_face": {},
        "metrics": {"model": scores, "mean_face": {"kaggle_rmse": 3.8}, "on": "validation"},
        **changed,
    }
    folder.mkdir(parents=True)
    write_json(folder / "run.json", record)
    for subset, model in models.items():
        model.save(folder / f"{subset}.keras")
    return load_run(folder)


def untrained_entry(folder: Path, name: str, **options: Any) -> Run:
    """A run of a zoo entry with all its subsets."""
    found = entry(name)
    skeleton = KAGGLE_15 if found.by_source else found.skeleton
    count = {s: len(found.skeleton if s == "all" else skeleton.subset(s)) for s in found.subsets}
    models = {
        subset: found.build(found.codec.outputs(k), found.input_shape, **options)
        for subset, k in count.items()
    }
    return untrained_run(
        folder,
        models,
        found.codec,
        name=name,
        skeleton=skeleton,
        by_source=found.by_source,
        views=found.recipe.views,
    )
