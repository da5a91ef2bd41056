"""The package's own exceptions: what was received, where, and what was wanted."""

from __future__ import annotations

from pathlib import Path


class KfkdError(ValueError):
    """Base of every error a user can cause; the command line prints it in one line and exits 2."""


class DataError(KfkdError):
    """A data file cannot be read as what it should be.

    Args:
        message: what was received and what was wanted.
        file: the file at fault.
        row: 1-based data row (the header is not counted), where one row is at fault.
        column: name of the column at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.file, self.row, self.column = file, row, column
        place = [str(file)] if file is not None else []
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column {column:.80}")  # out of a file it may be anything
        super().__init__(f"{', '.join(place)}: {message}" if place else message)


class RunError(KfkdError):
    """A run folder is missing, unfinished, broken, or was made with other settings."""


class InUse(RunError):
    """Another process is at work in a folder; the message says which."""


class WriteError(KfkdError):
    """A file cannot be written: the disk is full, or the folder may only be read.

    Args:
        what: the file, or what else was to be written.
        reason: the system's words.
    """

    def __init__(self, what: str | Path, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"cannot write {what}: {reason}")


class BrokenAnswer(RunError):
    """A model answers with what is no number."""


class WeightsError(KfkdError):
    """Pre-trained weights cannot be had; the message says how to get them."""


class UnknownName(KfkdError):
    """A name is not registered; the message lists the nearest known ones.

    Args:
        kind: what the name should be, such as "model".
        name: the name received.
        known: the names that exist.
    """

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        from difflib import get_close_matches

        asked = str(name)[:100]  # out of a file it may be anything
        near = get_close_matches(asked, known, n=3, cutoff=0.5) or sorted(known)
        super().__init__(f"no {kind} is called {name!r:.100}; did you mean {', '.join(near)}?")
