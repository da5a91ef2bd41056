"""A ladder of experiments: one table of runs that lives longer than their folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.progress import say
from kfkd.runs import Run, load_run
from kfkd.several import several
from kfkd.storage.files import read_json, write_json, write_text
from kfkd.storage.kinds import check_plain
from kfkd.storage.locks import renewing

KIND = "ladder"
_NUMBERS = ("params", "gflops", "minutes", "seed")


@dataclass(frozen=True)
class Ladder:
    """A table of runs.

    Args:
        rows: in their order, see `kfkd.ladders.rows.FIELDS`.
        clean: "rows", ids of the data that the clean figures leave out, and "data", the
            fingerprint of that data; None = there are no clean figures.
    """

    rows: tuple[Mapping[str, Any], ...]
    clean: Mapping[str, Any] | None = None

    def sorted(self, by: str) -> Ladder:
        """The same rows in order, the lowest first; those without the number last.

        Args:
            by: a score such as "kaggle_rmse", "params", "gflops", "minutes", "seed" or "name".

        Raises:
            UnknownName: when the rows have no such number.
        """
        known = {name for row in self.rows for name in row["scores"]} | {*_NUMBERS, "name"}
        if by not in known:
            raise UnknownName("column to sort by", by, sorted(known))

        def place(row: Mapping[str, Any]) -> tuple[bool, Any]:
            value = row[by] if by in (*_NUMBERS, "name") else row["scores"].get(by)
            return value is None, value or 0 if by != "name" else value

        return replace(self, rows=tuple(sorted(self.rows, key=place)))

    def table(self) -> str:
        """The ladder as Markdown."""
        from kfkd.ladders.text import as_markdown

        return as_markdown(self.rows, self.clean)

    __str__ = table

    def as_dict(self) -> dict[str, Any]:
        """The ladder as plain data, for `read_ladder`."""
        rows, clean = [dict(row) for row in self.rows], self.clean
        return {"kind": KIND, "clean": None if clean is None else dict(clean), "rows": rows}


def ladder(
    runs: str | Path | Run | Sequence[str | Path | Run],
    data: Any = None,
    *,
    clean: Iterable[int | str | Path] = (),
    row_numbers: str | Path | None = None,
    add_to: str | Path | None = None,
    sort: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Ladder:
    """One table of runs: what each changed, what it cost, and its scores beside the mean face.

    Args:
        runs: folders of finished runs, in the order of the table; unfinished ones are left out,
            and a line says so.
        data: where the data is, for clean figures; None = where each run had it.
        clean: rows that a second figure leaves out, by number from 1, or files of numbers: that
            figure is predicted anew. None given = those of the ladder that is added to.
        row_numbers: a CSV of row and kaggle_row, where `clean` has the numbers of another file,
            see `kfkd.row_numbers.named_rows`.
        add_to: JSON file of an earlier ladder, to which the runs are added and which is written
            anew, or made where it is absent. A run that it has already is measured anew; its other
            runs need not be there any more. Of several processes one adds after the other.
        sort: score, or other number, to order the rows by; None = as they were given.
        out: Markdown file to write; its figures go to `add_to`, or beside it as .json.
        quiet: no progress.

    Returns:
        The ladder: print it, or take `.as_dict()`.

    Raises:
        KfkdError: when there is nothing to list, or `add_to` holds no ladder, or one whose clean
            figures leave out other rows.
        RunError: when a folder holds no run, or a broken one.
        UnknownName: when there is no such number to sort by.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.ladder([run], quiet=True).rows[0]["changes"]
        ['epochs=1', 'data=synthetic']
    """
    from kfkd.ladders.work import LadderWork

    given = several(runs, Run | str | Path, "runs or their folders")
    place = None if add_to is None else Path(add_to).expanduser()
    with nullcontext() if place is None else renewing(place, quiet):
        earlier = read_ladder(place) if place is not None and place.exists() else Ladder(())
        opened = _finished([load_run(run) for run in given], quiet)
        if not opened and not earlier.rows:
            raise KfkdError("a ladder wants finished runs. Received: none")
        found = LadderWork(data, quiet).added(earlier, opened, list(clean), row_numbers)
        found = found if sort is None else found.sorted(sort)
        _write(found, place, None if out is None else Path(out).expanduser())
    return found


def read_ladder(path: str | Path) -> Ladder:
    """Opens the JSON file of a ladder.

    Raises:
        KfkdError: when it holds none.
    """
    from kfkd.ladders.rows import check_row

    content = read_json(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise KfkdError(f"{path} holds no ladder of runs; name another file")
    try:
        check_plain(content)
    except KfkdError as error:
        raise KfkdError(f"{path} {error}") from error
    rows, clean = content.get("rows"), content.get("clean")
    if not isinstance(rows, list):
        raise KfkdError(f"{path}: rows want to be a list. Received: {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        try:
            check_row(row)
        except KfkdError as error:
            raise KfkdError(f"{path}, row {number}: {error}") from error
    fits = isinstance(clean, dict) and isinstance(clean.get("rows"), list) and "data" in clean
    fits = fits and all(type(row) is int for row in content["clean"]["rows"])
    if clean is not None and not fits:
        raise KfkdError(f"{path}: clean wants rows and data. Received: {clean!r:.100}")
    return Ladder(tuple(rows), clean)


def _finished(runs: list[Run], quiet: bool) -> list[Run]:
    for run in runs:
        if not run.finished:
            say(f"left out, not finished: {run.folder}", quiet)
    found = [run for run in runs if run.finished]
    if runs and not found:
        raise RunError(f"none of the {len(runs)} runs is finished; go on with: kfkd resume RUN")
    return found


def _write(found: Ladder, add_to: Path | None, out: Path | None) -> None:
    if out is not None and out.suffix == ".json":
        raise KfkdError(f"out wants a Markdown file, beside which the .json goes. Received: {out}")
    place = add_to or (out and out.with_suffix(".json"))
    if place is not None:
        write_json(place, found.as_dict())
    if out is not None:
        write_text(out, found.table())
