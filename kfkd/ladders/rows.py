"""A run as a row of a ladder: what it is, what it cost, and its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kfkd.errors import KfkdError
from kfkd.evaluation import validation_faces
from kfkd.faces import FaceSet
from kfkd.ladders.changes import changes_of
from kfkd.recording import lineage
from kfkd.registry import entry
from kfkd.run_kinds import STAGE, STAGE_WANTED
from kfkd.runs import Run
from kfkd.scoring import score_faces
from kfkd.storage.kinds import check_kinds

FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "model", "created", "machine"), str),
    "changes": (list, type(None)),
    "seed": int,
    "params": int,
    "gflops": (int, float, type(None)),
    "minutes": (int, float),
    **dict.fromkeys(("epochs", "images_per_second", "held_out", "scores", "mean_face"), dict),
    "clean": (dict, type(None)),
}
"""What a row holds, and as what."""


def check_row(row: Any) -> None:
    """Checks a row that comes out of a file.

    Raises:
        KfkdError: naming what is wrong.
    """
    if not isinstance(row, dict):
        raise KfkdError(f"a row is {type(row).__name__}, not an object")
    for key, kind in FIELDS.items():
        if not isinstance(row.get(key), kind):
            raise KfkdError(f"{key} is {type(row.get(key)).__name__}")
    figures = [row["epochs"], row["images_per_second"], row["scores"], row["mean_face"]]
    if row["clean"] is not None:
        figures += [row["clean"].get("scores"), row["clean"].get("mean_face")]
    for figure in figures:
        numbers = figure.values() if isinstance(figure, dict) else (figure, "")
        if not all(value is None or isinstance(value, int | float) for value in numbers):
            raise KfkdError(f"numbers want to be numbers. Received: {figure!r:.100}")
    if not isinstance(before := row.get("before", []), list | None):
        raise KfkdError(f"before is {type(before).__name__}")
    for stage in before or ():
        check_kinds(stage, STAGE, STAGE_WANTED, "a stage before")
    if not isinstance(row["held_out"].get("images"), int):
        raise KfkdError("held_out lacks the number of images")
    fold = row["held_out"].get("fold")
    if fold is not None and (not isinstance(fold, list) or len(fold) != 2):
        raise KfkdError(f"fold wants two numbers. Received: {fold!r:.80}")
    if not all(isinstance(change, str) for change in row["changes"] or ()):
        raise KfkdError("changes want to be texts")


def ladder_row(run: Run) -> dict[str, Any]:
    """What a ladder keeps of a finished run, in plain data, without the clean figure.

    Args:
        run: finished.
    """
    record, parts = run.record, run.record["subsets"]
    changes, before = changes_of(run), _before(run)
    own = sum(part.get("seconds", 0) for part in parts.values()) / 60
    return {
        "name": run.folder.resolve().name,
        "model": run.name,
        "created": str(record.get("created", "")),
        "changes": changes,
        "mix": record["settings"].get("mix"),
        "seed": record["settings"]["seed"],
        "params": sum(part.get("params", 0) for part in parts.values()),
        "gflops": _gflops(run, changes),
        "epochs": {name: part.get("epochs") for name, part in parts.items()},
        "before": before,
        "minutes": round(own + sum(stage["minutes"] for stage in before or ()), 1),
        "images_per_second": {name: part.get("images_per_second") for name, part in parts.items()},
        "machine": _machine(record.get("machine", {})),
        "held_out": {
            "images": run.metrics["images"],
            "on": run.metrics.get("on", "validation"),
            "data": record["data"]["origin"],
            "fingerprint": record["data"]["fingerprint"],
            **{key: record["split"].get(key) for key in ("seed", "share", "fold")},
        },
        **_scores(run.metrics),
        "clean": None,
    }


def _before(run: Run) -> list[dict[str, Any]] | None:
    """What was trained before a run that began with others; None where these cannot tell."""
    try:
        return lineage(run)
    except KfkdError:
        return None


def clean_figure(
    run: Run, faces_of: Callable[[Run], FaceSet], rows: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A run's scores on its held-out images without some rows.

    Args:
        run: finished.
        faces_of: gives the run's data.
        rows: "rows", ids that are left out, and "data", the fingerprint of the data they are of.

    Returns:
        "images", how many were "left_out", "scores" and "mean_face"; None for a run on other data,
        whose rows have other numbers, or one that holds out nothing.
    """
    split = run.record["split"]
    if run.record["data"]["fingerprint"] != rows["data"] or not split["share"]:
        return None
    held_out = validation_faces(run, faces_of(run))
    kept = held_out[~np.isin(held_out.ids, rows["rows"])]
    predicted = run.predict(kept.images, source=kept.source)
    found = score_faces(kept, predicted, run.record["mean_face"]).as_dict()
    left_out = len(held_out) - len(kept)
    return {"images": len(kept), "left_out": left_out, **_scores(found)}


def _scores(metrics: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Scores of the model and of the mean face by name, the 68-point field's NME among them."""
    found = {key: dict(metrics[of]) for key, of in (("scores", "model"), ("mean_face",) * 2)}
    pair = ((metrics.get("landmarks") or {}).get("scores") or {}).get("nme")
    if pair is not None:
        found["scores"]["nme"], found["mean_face"]["nme"] = pair
    return found


def _machine(facts: Mapping[str, Any]) -> str:
    return f"{facts['cpu']}, {facts['cores']} cores" if "cpu" in facts else "unknown"


def _gflops(run: Run, changes: list[str] | None) -> float | None:
    """GFLOPs of one image through all of a run's models; None where nobody can tell."""
    from kfkd.zoo_tables import packaged

    own = ("options.", "codec")
    usual = changes is not None and not any(change.startswith(own) for change in changes)
    usual = usual and run.frame == tuple(entry(run.name).input_shape)
    known = packaged("costs.json").get(run.name, {}) if usual else {}
    costs: list[float | None] = []
    for subset in run.subsets:
        outputs = run.codec(subset).outputs(len(run.points(subset)))
        cost = known.get(str(outputs))
        costs.append(_counted(run, subset) if cost is None else cost)
    told = [cost for cost in costs if cost is not None]
    return round(sum(told), 4) if told and len(told) == len(costs) else None


def _counted(run: Run, subset: str) -> float | None:
    from kfkd.models.costs import gflops

    try:
        return gflops(run.model(subset))
    except KfkdError:
        return None
