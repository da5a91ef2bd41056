"""Label audit: rows whose labels are probably wrong, found by rule, with a reason each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from kfkd.audits.findings import RULES, Finding, suspects_table
from kfkd.audits.geometry import duplicate_findings, geometry_findings, unusual_findings
from kfkd.audits.residuals import moved_findings, residual_findings, swapped_findings
from kfkd.data import as_faces
from kfkd.ensembles.members import out_of_folds, validations
from kfkd.errors import DataError, KfkdError
from kfkd.faces import FaceSet
from kfkd.folds.cross_validation import CrossValidation, load_cross_validation
from kfkd.progress import say
from kfkd.row_numbers import Named, named_rows
from kfkd.storage.files import replacing, write_json
from kfkd.submissions.broken import fault
from kfkd.submissions.ensembles import combine
from kfkd.submissions.out_of_fold import OutOfFold
from kfkd.text import table

FILES = ("audit.csv", "audit.json", "suspects.png")
"""What an audit's folder holds."""

COLUMNS = ("rank", "row", "source", "score", "rules", "reason", "drop", "data")


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        out: the folder with its files.
        suspects: a line a row, see `kfkd.audits.findings.suspects_table`.
        summary: counts, the models that were asked, and how many of the known rows were found.
    """

    out: Path
    suspects: tuple[dict[str, Any], ...]
    summary: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain data."""
        return {**self.summary, "suspects": [dict(line) for line in self.suspects]}

    def table(self, most: int = 20) -> str:
        """The audit as text: counts by rule, and the most suspect rows."""
        told = self.summary
        head = (
            f"{told['suspects']} of {told['rows']} rows are suspect; labels of {told['dropped']} "
        )
        head += f"would be dropped: kfkd train … --suspects {self.out / FILES[0]}"
        rules = [(rule, told["rules"].get(rule, 0), about) for rule, about in RULES.items()]
        worst = [
            (s["row"], s["score"], s["drop"] or "—", s["reason"]) for s in self.suspects[:most]
        ]
        parts = [head, table(("rule", "rows", "what it finds"), rules)]
        if worst:
            parts.append(table(("row", "score", "drop", "reason"), worst))
        if known := told["known"]:
            parts.append(
                f"known bad rows: {known['found']} of {known['here']} found, {known['dropped']} of "
                f"them to be dropped ({known['listed']} were listed; {known['by chance']} would be "
                "found by chance)"
            )
        return "\n\n".join([*parts, *told["left out"]])

    __str__ = table


def audit(
    folds: CrossValidation | str | Path | Sequence[CrossValidation | str | Path] = (),
    data: Any = None,
    *,
    known: Iterable[int | str | Path] = (),
    row_numbers: str | Path | None = None,
    out: str | Path = "kfkd-audit",
    sheet: int = 48,
    quiet: bool = False,
) -> Audit:
    """Finds rows whose labels are probably wrong.

    By out-of-fold predictions, where cross-validations are given: keypoints far from where models
    that never saw the row see them, whole faces shifted or of another size, left and right
    exchanged. Always: pictures labelled twice and differently, impossible faces, and, to look at
    only, unusual ones. `out` comes to hold audit.csv, which `kfkd.train(..., suspects=...)` takes
    (take lines out of it that you disagree with), audit.json, and suspects.png: labels in blue,
    predictions in red.

    Args:
        folds: cross-validations of `kfkd.cross_validate` on these data, or their folders; models of
            several count by their mean.
        data: labelled faces, see `kfkd.load_faces`; None = those of the cross-validation, else as
            for `kfkd.train`.
        known: rows that are known to be bad, by number or as files of numbers: the audit says how
            many of them it found, and does nothing else with them.
        row_numbers: a CSV of row and kaggle_row, where `known` has the numbers of another file, see
            `kfkd.row_numbers.named_rows`.
        out: the folder.
        sheet: how many suspects suspects.png shows at most; 0 = no picture.
        quiet: no progress.

    Returns:
        The audit: print it, or take `.suspects`.

    Raises:
        KfkdError: when an argument makes no sense.
        DataError: when the data cannot be read, or the cross-validations are of others.
        RunError: when a folder holds no finished cross-validation.

    Example:
        >>> import kfkd
        >>> found = kfkd.audit("kfkd-folds", "data")  # doctest: +SKIP
        >>> found.suspects[0]["reason"]  # doctest: +SKIP
        'all keypoints +21.3, -4.0 px from where models see them'
    """
    if not isinstance(sheet, int) or isinstance(sheet, bool) or sheet < 0:
        raise KfkdError(f"sheet wants a whole number from 0. Received: {sheet!r}")
    members, data = _members(folds, data)
    frame = tuple(next(iter(members.values())).facts["image"]) if members else None
    faces = as_faces(data, quiet=quiet, frame=frame)  # type: ignore[arg-type]
    for name, member in members.items():
        if member.facts["fingerprint"] != faces.fingerprint:
            raise DataError(
                f"{name} was cross-validated on other data (fingerprint "
                f"{member.facts['fingerprint']}). Received: {faces.fingerprint}"
            )
    asked = list(known)
    named = named_rows(asked, faces.ids, row_numbers) if asked else None
    broken = {name: what for name, m in members.items() if (what := fault(m))}
    for name, what in broken.items():
        say(f"{name} is left out, it is broken: {what}", quiet)
    sound = {name: member for name, member in members.items() if name not in broken}
    predicted, spread = _asked(list(sound.values()))
    suspects = suspects_table(faces, _findings(faces, predicted, spread, quiet))
    left_out = [f"{name} is left out, it is broken: {what}" for name, what in broken.items()]
    summary = _summary(faces, suspects, list(sound), left_out, named)
    found = Audit(Path(out).expanduser(), tuple(suspects), summary)
    _save(found, faces, predicted, sheet)
    return found


def _members(folds: Any, data: Any) -> tuple[dict[str, OutOfFold], Any]:
    """Out-of-fold predictions, and the data where the cross-validation says it."""
    given = validations(folds)
    if data is None and given:
        first = given[0]
        facts = (
            first if isinstance(first, CrossValidation) else load_cross_validation(first)
        ).facts
        if not facts["path"] and facts["data"] != "synthetic":
            raise DataError("the cross-validation was of faces in memory; pass them as data")
        data = facts["path"] or "synthetic"
    return out_of_folds(given), data


def _asked(members: Sequence[OutOfFold]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Mean prediction (n, k, 2) of all models and seeds, and (n, k) by how much they differ."""
    if not members:
        return None, None
    every = np.concatenate([member.predicted for member in members]).astype(np.float64)
    # Some predict a part of the keypoints only: the others speak for the rest.
    count = np.maximum((~np.isnan(every)).sum(axis=0), 1)
    variance = np.nansum(np.square(every - combine(list(every))), axis=0) / count
    return combine([member.mean for member in members]), np.sqrt(variance.sum(axis=-1))


def _findings(
    faces: FaceSet, predicted: np.ndarray | None, spread: np.ndarray | None, quiet: bool
) -> list[Finding]:
    if predicted is None or spread is None:
        say("no cross-validation: only duplicates, geometry and unusual faces are looked at", quiet)
        found = []
    else:
        found = [
            *swapped_findings(faces, predicted),
            *moved_findings(faces, predicted),
            *residual_findings(faces, predicted, spread),
        ]
    found += duplicate_findings(faces, predicted)
    return [*found, *geometry_findings(faces), *unusual_findings(faces)]


def _summary(
    faces: FaceSet,
    suspects: Sequence[dict[str, Any]],
    models: list[str],
    left_out: list[str],
    named: Named | None,
) -> dict[str, Any]:
    drop = {line["row"]: bool(line["drop"]) for line in suspects}
    summary: dict[str, Any] = {
        "data": {"origin": faces.origin, "path": faces.path, "fingerprint": faces.fingerprint},
        "rows": len(faces),
        "suspects": len(suspects),
        "dropped": sum(bool(line["drop"]) for line in suspects),
        "rules": {rule: sum(rule in line["rules"].split() for line in suspects) for rule in RULES},
        "models": models,
        "left out": left_out,
        "known": None,
    }
    if named:
        missed = [row for row in named.ids if row not in drop]
        summary["known"] = {
            "listed": named.listed,
            "here": len(named.ids),
            "found": len(named.ids) - len(missed),
            "dropped": sum(drop.get(row, False) for row in named.ids),
            "by chance": round(len(named.ids) * len(suspects) / max(len(faces), 1), 1),
            "missed": missed,
        }
    return summary


def _save(found: Audit, faces: FaceSet, predicted: np.ndarray | None, sheet: int) -> None:
    with replacing(found.out / FILES[0]) as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**line, "data": faces.fingerprint} for line in found.suspects)
    write_json(found.out / FILES[1], found.as_dict())
    lines = found.suspects[:sheet]
    if not lines:
        (found.out / FILES[2]).unlink(missing_ok=True)
        return
    from kfkd.drawing.figures import save_figure
    from kfkd.drawing.sheets import face_sheet

    rows = [line["position"] for line in lines]
    picked = faces[rows]
    figure = face_sheet(
        np.asarray(picked.images),
        picked.keypoints,
        None if predicted is None else predicted[rows],
        [_title(line) for line in lines],
        title=f"The {len(rows)} most suspect of {len(faces)} rows",
        names=("label", "out-of-fold prediction"),
    )
    save_figure(figure, found.out / FILES[2])


def _title(line: dict[str, Any]) -> str:
    reason = line["reason"].partition(";")[0].replace("_", " ")
    return "\n".join([f"row {line['row']}: {line['score']:.1f}", *wrap(reason, 34)[:2]])
