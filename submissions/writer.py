"""Kaggle submissions: pick the values asked for, write them, and read them back to be sure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.pipelines.csv_fields import refuse_repeats
from kfkd.skeletons import KAGGLE_15
from kfkd.storage.files import replacing, write_json
from kfkd.submissions.reading import (
    HEADER,
    read_columns,
    read_submission,
    refuse_unmatched,
)

if TYPE_CHECKING:
    from kfkd.pipelines.kaggle import IdTable


def submission_values(
    predictions: np.ndarray,
    ids: np.ndarray,
    table: IdTable,
    clip: bool = False,
    size: int = 96,
) -> np.ndarray:
    """The predicted coordinate for each row of Kaggle's id table.

    Args:
        predictions: (n, 15, 2) in pixels, keypoints in the order of `KAGGLE_15`.
        ids: int (n,), the ImageId of each prediction.
        table: what Kaggle asks for, from `kfkd.pipelines.kaggle.read_id_table`, m rows.
        clip: whether to move coordinates outside [0, size] to its border. That is the range the
            Kaggle study used; pixel centres of a 96-pixel image lie in [0, 95].
        size: width and height of the images in pixels.

    Returns:
        float64 (m,) in pixels, in the order of the table's rows.

    Raises:
        KfkdError: when shapes do not fit, an id appears twice, or the table asks for an image or a
            coordinate that is not predicted; the message names row id, image and feature.

    Example:
        >>> from kfkd.pipelines.kaggle import IdTable
        >>> table = IdTable(row_id=np.array([1]), image_id=np.array([7]), column=np.array([20]))
        >>> nose_tips_at_48 = np.full((1, 15, 2), 48.0)
        >>> submission_values(nose_tips_at_48, np.array([7]), table, clip=True)
        array([48.])
    """
    predictions, ids = np.asarray(predictions, np.float64), np.asarray(ids)
    width = len(KAGGLE_15.columns)
    if predictions.shape != (wanted := (len(ids), len(KAGGLE_15), 2)):
        raise KfkdError(f"predictions want the shape {wanted}. Received: {predictions.shape}")
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    if (twice := ordered[1:] == ordered[:-1]).any():
        raise KfkdError(f"image {ordered[1:][twice][0]} is predicted twice")
    # A row of NaN at the end stands for every image that is not predicted.
    place = np.searchsorted(ordered, table.image_id)
    row = np.append(order, len(ids))[np.where(np.isin(table.image_id, ids), place, len(ids))]
    flat = np.vstack([predictions.reshape(len(ids), width), np.full(width, np.nan)])
    values = flat[row, table.column]
    _refuse_missing(values, table, ids)
    return np.clip(values, 0, size) if clip else values


def write_submission(
    path: str | Path,
    table: IdTable,
    values: np.ndarray,
    made: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a submission that Kaggle accepts, and beside it a JSON file of how it was made.

    The rows ascend by RowId, with 6 decimals. The file takes its name only after it was read back
    and checked and its JSON file was written, so no submission is without its origin.

    Args:
        path: the file to make or replace, `<name>.csv`; the other is `<name>.json`.
        table: what Kaggle asks for, m rows.
        values: float (m,) in pixels, in the order of the table's rows.
        made: how the values were made, as JSON can hold it; None = nothing known, written as {}.

    Returns:
        The path written.

    Raises:
        DataError: when the table has a RowId twice.
        KfkdError: when the path does not end in .csv, the number of values is not the table's, a
            value is not finite, or the file cannot be written.

    Example:
        >>> path = submission_path("flagship")  # doctest: +SKIP
        >>> write_submission(path, table, values, {"run": "runs/flagship"})  # doctest: +SKIP
    """
    path, values = Path(path), np.asarray(values, np.float64)
    if path.suffix != ".csv":
        raise KfkdError(f"a submission's file name wants to end in .csv. Received: {path}")
    if values.shape != table.row_id.shape:
        raise KfkdError(f"values want the shape {table.row_id.shape}. Received: {values.shape}")
    _refuse_missing(values, table, table.image_id)
    refuse_repeats(table.row_id, "RowId", table.file)
    order = np.argsort(table.row_id)
    rows = zip(table.row_id[order].tolist(), values[order].tolist(), strict=True)
    lines = [",".join(HEADER), *(f"{row_id},{value:.6f}" for row_id, value in rows)]
    with replacing(path) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        check_submission(beside, table)
        write_json(path.with_suffix(".json"), dict(made or {}))
    return path


def check_submission(path: str | Path, table: IdTable) -> None:
    """Checks that a file is a submission for `table` as Kaggle wants it.

    Args:
        path: the submission, CSV or a zip of one.
        table: what Kaggle asks for.

    Raises:
        DataError: naming file, row and column, when the header is not RowId,Location, RowIds do
            not ascend or appear twice, are missing or not asked for, or a Location is not finite.

    Example:
        >>> check_submission("submissions/mine.csv", table)  # doctest: +SKIP
    """
    columns = read_columns(path, HEADER)
    if tuple(columns) != HEADER:
        raise DataError(
            f"wants the header RowId,Location. Received: {','.join(columns)}", file=path
        )
    row_id, _ = read_submission(path, columns)
    refuse_unmatched(row_id, table.row_id, table.row_id, path)
    if (falls := np.flatnonzero(row_id[1:] < row_id[:-1])).size:
        row = int(falls[0]) + 2
        raise DataError("RowIds want to ascend", file=path, row=row, column="RowId")


def submission_path(name: str, folder: str | Path = "submissions") -> Path:
    """A new file name for a submission: `<folder>/<name>-<YYYYmmdd-HHMMSS>.csv`.

    Args:
        name: letters, digits and . _ + -.
        folder: where submissions are kept; not made here.

    Returns:
        A path where neither the CSV nor its JSON exists; -2, -3, … are added where one does.

    Raises:
        KfkdError: when the name holds other characters.

    Example:
        >>> submission_path("flagship")  # doctest: +SKIP
        PosixPath('submissions/flagship-20250131-174502.csv')
    """
    if not re.fullmatch(r"[\w.+-]+", name):
        raise KfkdError(
            f"a submission's name wants letters, digits and . _ + -. Received: {name!r}"
        )
    stem, count = f"{name}-{_now():%Y%m%d-%H%M%S}", 1
    path = Path(folder) / f"{stem}.csv"
    while path.exists() or path.with_suffix(".json").exists():
        count += 1
        path = path.with_name(f"{stem}-{count}.csv")
    return path


def _refuse_missing(values: np.ndarray, table: IdTable, ids: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if not bad.size:
        return
    row = bad[0]
    image, feature = int(table.image_id[row]), KAGGLE_15.columns[table.column[row]]
    received = values[row] if image in ids else "no prediction of the image"
    raise KfkdError(
        f"RowId {table.row_id[row]} asks for {feature} of image {image}. Received: {received}; "
        f"{bad.size} of {len(values)} values are missing or not finite ({table.file})"
    )


def _now() -> datetime:
    return datetime.now()
