"""What the zoo holds: a row for each model, with its size, cost and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfkd.building import subset_outputs
from kfkd.errors import UnknownName
from kfkd.registry import entries, entry
from kfkd.text import table
from kfkd.zoo_tables import best_measured, packaged


def list_models(family: str | None = None) -> list[dict[str, Any]]:
    """The models of the zoo, a row each; needs no TensorFlow.

    Args:
        family: only this family; None = all.

    Returns:
        Dicts with name, family, dataset, subsets, params (by outputs), gflops (by outputs, two per
        multiply-add, one image), published and measured scores.

    Example:
        >>> import kfkd
        >>> [row["name"] for row in kfkd.list_models("alexnet")]
        ['alexnet']
    """
    families = {e.family for e in entries().values()}
    if family is not None and family not in families:
        raise UnknownName("family", family, sorted(families))
    costs = packaged("costs.json")
    chosen = [e for e in entries().values() if family in (None, e.family)]
    return [
        {
            "name": e.name,
            "family": e.family,
            "dataset": e.dataset,
            "subsets": list(e.subsets),
            "params": dict(e.params),
            "gflops": costs.get(e.name, {}),
            "published": dict(e.published),
            "measured": best_measured(e.name),
        }
        for e in sorted(chosen, key=lambda e: (e.family, e.name))
    ]


def models_table(rows: list[dict[str, Any]]) -> str:
    """The rows of `list_models` as a text table."""
    header = ("name", "family", "data", "params", "GFLOPs", "published", "measured (mean face)")
    return table(header, [_models_row(row) for row in rows])


def _models_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    published, measured, sizes = row["published"], row["measured"], _sizes(row)
    if "private" in published:
        shown = f"{published['private']:.3f} / {published['public']:.3f}"
    else:
        shown = next((f"{value:.2f} ({key})" for key, value in published.items()), "—")
    return (
        row["name"],
        row["family"],
        row["dataset"],
        " + ".join(f"{row['params'][n] / 1e6:.2f} M" for n in sizes) or "—",
        " + ".join(f"{row['gflops'][str(n)]:.2f}" for n in sizes if str(n) in row["gflops"]) or "—",
        shown,
        _short(measured),
    )


def _short(measured: Mapping[str, Any]) -> str:
    if "nme" in measured:
        return "{:.2f} % ({:.2f} %)".format(*(100 * share for share in measured["nme"]))
    return f"{measured['kaggle_rmse']:.3f} ({measured['mean_face']:.2f})" if measured else "—"


def _sizes(row: Mapping[str, Any]) -> list[int]:
    found = entry(row["name"])
    wanted = [subset_outputs(found, subset) for subset in row["subsets"]]
    return [n for n in wanted if n in row["params"]]
