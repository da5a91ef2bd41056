"""Making the rows of a ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfkd.data import as_faces
from kfkd.errors import KfkdError
from kfkd.evaluation import own_data
from kfkd.faces import FaceSet
from kfkd.laddering import Ladder
from kfkd.ladders.rows import clean_figure, ladder_row
from kfkd.progress import say
from kfkd.row_numbers import named_rows
from kfkd.runs import Run


class LadderWork:
    """Measures runs for a ladder.

    Args:
        data: where the data is; None = where each run had it.
        quiet: no progress.
    """

    def __init__(self, data: Any, quiet: bool) -> None:
        self._data, self._quiet = data, quiet
        self._read: dict[Any, FaceSet] = {}

    def added(
        self,
        earlier: Ladder,
        runs: Sequence[Run],
        clean: Sequence[int | str | Path],
        row_numbers: str | Path | None,
    ) -> Ladder:
        """An earlier ladder with runs added.

        Args:
            earlier: maybe empty.
            runs: finished ones; one that `earlier` has is measured anew, in its place.
            clean: rows that clean figures leave out; none = those of `earlier`.
            row_numbers: of `clean`, see `kfkd.ladder`.
        """
        left_out = self._left_out(earlier, runs, clean, row_numbers)
        rows = {_key(row): row for row in earlier.rows}
        for number, run in enumerate(runs, 1):
            say(f"{number}/{len(runs)}: {run.folder}", self._quiet)
            row = ladder_row(run)
            if left_out is not None:
                row["clean"] = clean_figure(run, self._faces, left_out)
            rows[_key(row)] = row
        _check_clean(earlier, rows.values(), left_out)
        return Ladder(tuple(rows.values()), left_out)

    def _left_out(
        self,
        earlier: Ladder,
        runs: Sequence[Run],
        clean: Sequence[int | str | Path],
        row_numbers: str | Path | None,
    ) -> Mapping[str, Any] | None:
        if not clean:
            return earlier.clean
        if not runs:
            raise KfkdError("clean rows want runs to measure without them")
        faces = self._faces(runs[0])
        named = named_rows(clean, faces.ids, row_numbers)
        return {"rows": list(named.ids), "data": faces.fingerprint}

    def _faces(self, run: Run) -> FaceSet:
        """A run's data, read once for all runs that share it."""
        place = own_data(run) if self._data is None else self._data
        key = (id(place) if isinstance(place, FaceSet) else str(place), run.frame)
        if key not in self._read:
            self._read[key] = as_faces(place, quiet=self._quiet, frame=run.frame)
        return self._read[key]


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    """What tells a run from others: its folder's name, and when it began."""
    return row["name"], row["created"]


def _check_clean(earlier: Ladder, rows: Any, left_out: Mapping[str, Any] | None) -> None:
    """Refuses clean figures of different rows in one ladder."""
    if earlier.clean is None or left_out == earlier.clean:
        return
    old = [row["name"] for row in rows if row["clean"] and row in earlier.rows]
    if old:
        raise KfkdError(
            f"the ladder's clean figures leave out {len(earlier.clean['rows'])} rows, these would "
            f"leave out others, and {', '.join(old[:3])} would keep the old ones: leave --clean "
            "away, or begin another ladder"
        )
