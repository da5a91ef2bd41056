"""A run's history.csv: what each epoch of its subsets came to."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from kfkd.errors import RunError
from kfkd.storage.files import replacing
from kfkd.storage.safe_reading import read_bytes

_COLUMNS = (
    "subset",
    "epoch",
    "loss",
    "rmse",
    "val_loss",
    "val_rmse",
    "learning_rate",
    "seconds",
)


def read_history(folder: Path, subsets: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """Reads a run's history.csv.

    Args:
        folder: the run's.
        subsets: that it may tell of.

    Returns:
        By subset its epochs: losses, RMSEs in pixels, learning rate, seconds; none where there is
        no such file.

    Raises:
        RunError: when it is broken.
    """
    rows: dict[str, list[dict[str, float]]] = {subset: [] for subset in subsets}
    path = folder / "history.csv"
    if not path.exists():
        return rows
    try:
        text = read_bytes(path).decode("utf-8")
        for row in csv.DictReader(StringIO(text, newline="")):
            subset = row.pop("subset")
            rows[subset].append({k: _figure(k, v) for k, v in row.items() if v})
    except (KeyError, ValueError, csv.Error) as error:
        raise RunError(f"{path} is broken: {error}") from error
    return rows


def save_history(folder: Path, history: Mapping[str, list[dict[str, float]]]) -> None:
    """Writes a run's history.csv, whole or not at all: the subset, then an epoch's numbers."""
    with replacing(folder / "history.csv") as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for subset, rows in history.items():
            writer.writerows({"subset": subset, **row} for row in rows)


def _figure(column: str, text: str) -> float:
    if column not in _COLUMNS:  # None = a row longer than its header
        raise ValueError(f"no column is called {column!r:.40}")
    value = float(text)
    if column != "epoch":
        return value
    if not 0 < value < 1e9:
        raise ValueError(f"epoch {text:.40}")
    return int(value)
