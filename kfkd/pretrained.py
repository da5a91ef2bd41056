"""Runs that come with the package: weights at hand without training or network."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError
from kfkd.storage.files import bytes_in, read_json
from kfkd.text import table

FOLDER = Path(__file__).parent / "weights"
ENSEMBLE = "ensemble.json"
_RECORD = "run.json"


def pretrained_runs() -> list[str]:
    """Names of the runs that come with the package, best first.

    `kfkd.load_run`, and every verb that takes a run, knows them by these names. Each has a
    MODEL_CARD.md: on what it was trained and under which terms, how good it is, where it fails.

    Returns:
        Names, ordered by `kaggle_rmse` on the images that the runs held out.

    Example:
        >>> import kfkd
        >>> kfkd.pretrained_runs()  # doctest: +SKIP
        ['pyramid_from_68', 'pyramid', 'pyramid_68']
    """
    return [facts["name"] for facts in pretrained_facts()]


def pretrained_facts() -> list[dict[str, Any]]:
    """Name, model, scores and folder of each packaged run, best first."""
    return best_first([_facts(path) for path in sorted(FOLDER.glob(f"*/{_RECORD}"))])


def best_first(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Facts of `pretrained_facts` in its order."""
    return sorted(found, key=lambda f: inf if f["kaggle_rmse"] is None else f["kaggle_rmse"])


def _facts(path: Path) -> dict[str, Any]:
    record = read_json(path)
    metrics = record["metrics"]
    return {
        "name": path.parent.name,
        "kind": "run",
        "model": record["model"],
        "nets": 1,
        "data": record["data"]["origin"],
        "kaggle_rmse": metrics["model"].get("kaggle_rmse"),
        "mean_face": metrics["mean_face"].get("kaggle_rmse"),
        "nme": (metrics.get("landmarks") or {}).get("scores", {}).get("nme"),
        "images": metrics["images"],
        "megabytes": round(bytes_in(path.parent) / 1e6, 2),
        "folder": str(path.parent),
    }


def pretrained_table(facts: Sequence[dict[str, Any]]) -> str:
    """What `pretrained_facts` and `ensemble_facts` give as text."""
    if not facts:
        return "no run comes with this package"
    header = ("name", "model", "nets", "data", "held-out score (mean face)", "images", "MB")
    rows = [(*_start(f), _scores(f), str(f["images"]), str(f["megabytes"])) for f in facts]
    several = [f"{f['name']}: of one net on the fold it never saw" for f in facts if f["nets"] > 1]
    return "\n".join([table(header, rows), *several])


def _start(facts: dict[str, Any]) -> tuple[str, ...]:
    return facts["name"], facts["model"], str(facts["nets"]), facts["data"]


def _scores(facts: dict[str, Any]) -> str:
    score, mean = facts["kaggle_rmse"], facts["mean_face"]
    if facts["nme"] and None not in facts["nme"]:
        return "NME {:.2f} % ({:.2f} %)".format(*(100 * share for share in facts["nme"]))
    known = score is not None and mean is not None
    return f"kaggle_rmse {score:.3f} px ({mean:.3f})" if known else "—"


def pretrained_folder(name: str) -> Path | None:
    """Where the run called `name` lies in the package; None where there is none."""
    return packaged(name, _RECORD)


def packaged(name: str, record: str) -> Path | None:
    """Where the run or ensemble called `name` lies in the package; None where there is none.

    Args:
        name: as a user gives it.
        record: the file that tells what it is.
    """
    known = Path(name).name == name and (FOLDER / name / record).is_file()
    return FOLDER / name if known else None


def run_and_rest(inputs: Sequence[str]) -> tuple[str, list[str]]:
    """What a command was given: a run and the rest, or, without a run, the best packaged one.

    Args:
        inputs: a run's folder or name, if there is one, then photos and folders of them.

    Raises:
        KfkdError: when no run is given and none comes with the package.
    """
    from kfkd.pipelines.photo_reading import TRIED

    first = inputs[0] if inputs else ""
    is_run = first and ((Path(first) / _RECORD).is_file() or pretrained_folder(first))
    is_photo = Path(first).exists() or Path(first).suffix.lower() in TRIED
    if is_run or (first and not is_photo):
        return first, list(inputs[1:])
    known = pretrained_runs()
    if not known:
        raise KfkdError("no run is given, and none comes with this package: name a run's folder")
    return known[0], list(inputs)
