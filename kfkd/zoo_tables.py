"""Tables that come with the zoo: what its models cost, and what was measured of them."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def packaged(name: str) -> dict[str, Any]:
    """A JSON table that comes with the zoo, such as "costs.json" or "results.json"."""
    folder = resources.files("kfkd.models")
    return json.loads((folder / name).read_text(encoding="utf-8"))


def best_measured(name: str) -> dict[str, Any]:
    """The best row of a model in the zoo's tables of measured figures, {} where there is none."""
    rows = [row for row in packaged("results.json").values() if row["model"] == name]
    photos = [row for row in packaged("landmark_results.json").values() if row["model"] == name]
    return min(rows, key=lambda row: row["kaggle_rmse"], default={}) or min(
        photos, key=lambda row: row["nme"][0], default={}
    )
