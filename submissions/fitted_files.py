"""Fitted ensembles as files: numbers and plain text in an .npz, no pickle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.errors import KfkdError
from kfkd.storage.files import replacing
from kfkd.storage.stored_arrays import read_arrays
from kfkd.storage.stored_arrays import told as json_of
from kfkd.submissions.boosting import Boosted, fit_boosting
from kfkd.submissions.fitting import Cell, Ensemble
from kfkd.submissions.panel import Panel
from kfkd.submissions.rules import rule_from

_BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)


def save_ensemble(fitted: Ensemble, path: Path) -> None:
    """Writes a fitted ensemble, whole or not at all.

    Args:
        fitted: the ensemble.
        path: the .npz.
    """
    told: dict[str, Any] = {"how": fitted.how, "names": fitted.names, "keys": fitted.keys}
    told["cells"] = [_told(cell) for cell in fitted.cells]
    arrays = {
        f"{i}.{name}": array
        for i, cell in enumerate(fitted.cells)
        for name, array in cell.rule.arrays().items()
    }
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, told=np.array(json.dumps(told)), **arrays)  # type: ignore[arg-type]


def read_ensemble(path: str | Path, panel: Panel) -> Ensemble:
    """Reads what `save_ensemble` wrote.

    Args:
        path: the .npz.
        panel: the members' out-of-fold predictions: trees are not kept, they are grown anew.

    Raises:
        KfkdError: when the file is absent, broken or something else, or of other members.
    """
    try:
        arrays = read_arrays(path)
        told = json_of(arrays.pop("told"))
        places = _places(told.get("keys"), panel)
        cells = tuple(_cell(one, i, arrays, panel, places) for i, one in enumerate(told["cells"]))
        fitted = Ensemble(str(told["how"]), panel.names, cells, panel.keys)
        for cell in cells:  # arrays of other shapes fail here rather than at the submission
            fitted.predict(panel.predicted[:, :1], np.array([cell.source]))
        fitted.as_dict()  # as do weights of more members
        return fitted
    except _BROKEN as error:
        raise KfkdError(f"{path} is no fitted ensemble of these members: {error}") from error


def _told(cell: Cell) -> dict[str, Any]:
    return {
        "source": cell.source,
        "points": cell.points,
        "members": cell.members,
        "fit": cell.fit,
        "kind": cell.rule.kind,
    }


def _places(keys: Sequence[str] | None, panel: Panel) -> list[int]:
    """Where in a panel the members are that an ensemble was fitted on.

    Raises:
        KfkdError: when the panel's are others, saying which.
    """
    if keys is None:
        raise KfkdError("an earlier version wrote it, without what its members are: fit it anew")
    if sorted(keys) == sorted(panel.keys):
        return [panel.keys.index(key) for key in keys]
    lost = [key for key in keys if key not in panel.keys]
    new = [key for key in panel.keys if key not in keys]
    told = [f"it was fitted on {', '.join(lost)}, not given here"] if lost else []
    told += [f"it was not fitted on {', '.join(new)}, given here"] if new else []
    told = told or ["a member is given more than once"]
    raise KfkdError(f"{'; '.join(told)} (a model, and a digest of its out-of-fold predictions)")


def _cell(
    told: dict[str, Any],
    number: int,
    arrays: dict[str, np.ndarray],
    panel: Panel,
    places: Sequence[int],
) -> Cell:
    points, members = (tuple(map(int, told[key])) for key in ("points", "members"))
    members = tuple(places[i] for i in members)
    own = {k.partition(".")[2]: v for k, v in arrays.items() if k.partition(".")[0] == str(number)}
    place = (str(told["source"]), points, members, str(told["fit"]))
    if told["kind"] == Boosted.kind:
        rows = panel[panel.source == told["source"]].members(members).points(points)
        return Cell(*place, fit_boosting(rows))
    return Cell(*place, rule_from(str(told["kind"]), own))
