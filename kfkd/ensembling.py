"""Ensembles compared: what combining cross-validated models comes to, on rows not fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.ensembles.blending import leave_out
from kfkd.ensembles.members import out_of_folds
from kfkd.errors import KfkdError, UnknownName
from kfkd.folds.cross_validation import CrossValidation
from kfkd.folds.scores import FoldScorer, scores_table
from kfkd.progress import Ticker, say
from kfkd.row_numbers import named_rows
from kfkd.several import several
from kfkd.storage.files import write_json, write_text
from kfkd.submissions.broken import fault
from kfkd.submissions.fitted_files import save_ensemble
from kfkd.submissions.fitting import HOWS, Ensemble, fit_ensemble, nested
from kfkd.submissions.panel import Panel, panel_of

DEFAULT = ("mean", "median", "weighted", "stack")


@dataclass(frozen=True)
class Ensembles:
    """What several ways to combine the same members came to.

    Args:
        members: their names.
        left_out: a sentence for each member that is broken.
        rows: a title and scores for each member and ensemble, ensembles' on rows that they were not
            fitted on.
        fitted: what was fitted on all rows, by title.
        out: the folder that holds each fit as a file; None = nothing was written.
    """

    members: tuple[str, ...]
    left_out: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, Any]], ...]
    fitted: Mapping[str, Ensemble]
    out: Path | None = None

    @property
    def best(self) -> str:
        """The title of the ensemble with the least error: of several nested scores the least is
        slightly kind.
        """
        scores = {title: _score(s) for title, s in self.rows if title in self.fitted}
        return min(scores, key=lambda title: scores[title])

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return {
            "members": list(self.members),
            "left out": list(self.left_out),
            "scores": dict(self.rows),
            "fitted": {title: fitted.as_dict() for title, fitted in self.fitted.items()},
            "best": self.best,
        }

    def table(self) -> str:
        """The comparison as Markdown."""
        lines = [
            "Out-of-fold errors of members, and of ensembles that were selected and fitted without "
            "the fold that they are scored on.",
            scores_table(self.rows),
            *(f"**{line}**" for line in self.left_out),
            self._least(),
            "\n".join(f"- {self._told(title)}: {_taken(f)}" for title, f in self.fitted.items()),
        ]
        return "\n\n".join(lines) + "\n"

    __str__ = table

    def _least(self) -> str:
        told = f"Least error: {self._told(self.best)}."
        if len(self.fitted) < 2:
            return told
        return f"{told} As the least of {len(self.fitted)} nested scores it is slightly kind."

    def _told(self, title: str) -> str:
        """An ensemble's title, and the file that it is in."""
        return title if self.out is None else f"{title} (`{_file(title)}`)"


def ensemble(
    folds: CrossValidation | str | Path | Sequence[CrossValidation | str | Path],
    hows: str | Sequence[str] = DEFAULT,
    *,
    without: Iterable[int | str | Path] = (),
    row_numbers: str | Path | None = None,
    strict: bool = False,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Ensembles:
    """Compares ways to combine the models of cross-validations, each with and without selection.

    Selection and fit are nested: rows of a fold are scored by what was selected and fitted on the
    other folds. The models that made those other predictions did learn from the fold, which no
    ensemble of cross-validated models avoids without training them all anew for every fold; it
    moves a few weights by next to nothing.

    Args:
        folds: cross-validations of `kfkd.cross_validate`, or their folders, one or several.
        hows: ways to combine, one or several, see `kfkd.submit`.
        without: rows that the "clean" figures leave out, as for `kfkd.cross_validate`.
        row_numbers: likewise.
        strict: refuse broken members rather than leave them out.
        out: the folder for table.md, results.json and an .npz for each ensemble, which
            `kfkd.submit(..., ensemble="DIR/stack.npz")` takes; None = nothing is written.
        quiet: no progress.

    Returns:
        The comparison: print it, or take `.as_dict()`.

    Raises:
        UnknownName: when there is no such way.
        KfkdError: when members are of different data, or none is sound.
        RunError: when a folder holds no finished cross-validation.

    Example:
        >>> import kfkd
        >>> found = kfkd.ensemble(["cv/a", "cv/b"], ["mean", "weighted"])  # doctest: +SKIP
        >>> found.best  # doctest: +SKIP
        'weighted'
    """
    ways = several(hows, str, "ways to combine")
    if unknown := [how for how in ways if how not in HOWS]:
        raise UnknownName("way to combine predictions", unknown[0], list(HOWS))
    if not ways:
        raise KfkdError(f"ways to combine are wanted, of {', '.join(HOWS)}. Received: none")
    members = out_of_folds(folds)
    names = list(members)
    sound, left_out = leave_out(names, [fault(member) for member in members.values()])
    if left_out and (strict or not sound):
        raise KfkdError("; ".join(left_out))
    kept = [members[names[i]] for i in sound]
    panel = panel_of(kept, [names[i] for i in sound])
    asked = list(without)
    scorer = FoldScorer(kept[0], named_rows(asked, kept[0].ids, row_numbers).ids if asked else ())
    for line in left_out:
        say(line, quiet)
    fitted, rows = _compared(panel, scorer, ways, Ticker(quiet))
    place = None if out is None else Path(out).expanduser()
    found = Ensembles(panel.names, tuple(left_out), tuple(rows), fitted, place)
    if place is not None:
        _save(found, place)
    return found


def _compared(
    panel: Panel, scorer: FoldScorer, hows: Sequence[str], ticker: Ticker
) -> tuple[dict[str, Ensemble], list[tuple[str, dict[str, Any]]]]:
    rows = [
        (name, scorer.scores(predicted))
        for name, predicted in zip(panel.names, panel.predicted, strict=True)
    ]
    fitted: dict[str, Ensemble] = {}
    for how in hows:
        # Weights select by being 0; of one member there is nothing to select.
        once = how == "weighted" or len(panel.names) == 1
        for selected in (False,) if once else (False, True):
            title = f"{how}, selected" if selected else how
            fitted[title] = fit_ensemble(panel, how, selected)
            rows.append((title, scorer.scores(nested(panel, how, selected, ticker.show))))
    ticker.clear()
    return fitted, rows


def _save(found: Ensembles, out: Path) -> None:
    for title, fitted in found.fitted.items():
        save_ensemble(fitted, out / _file(title))
    write_json(out / "results.json", found.as_dict())
    write_text(out / "table.md", found.table())


def _file(title: str) -> str:
    """What an ensemble's fit is called in the folder."""
    return f"{title.replace(', ', '-')}.npz"


def _score(scores: Mapping[str, Any]) -> float:
    model = scores["all"]["model"]
    value = model["all"] if model["kaggle_rmse"] is None else model["kaggle_rmse"]
    return np.inf if value is None else float(value)


def _taken(fitted: Ensemble) -> str:
    """What was fitted on all rows, source by source."""
    told = []
    for cell in fitted.cells:
        names = ", ".join(fitted.names[i] for i in cell.members)
        points = f", {len(cell.points)} keypoints"
        told.append(f"{cell.source}{points}: {cell.fit} of {names}")
    return "; ".join(told)
