"""Trials that kill the process: a system that runs out of memory kills it without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfkd.errors import RunError
from kfkd.storage.files import read_json, write_json

_BY_MEMORY, _BY_ANYTHING = 2, 10
"""So many deaths within the same epoch end a trial: where memory may have been full, and where the
system says that it was not, as when somebody ends a process, or nothing is known of it, as of a
machine that is gone or has started anew."""


def count_attempt(path: Path, epochs: int) -> None:
    """Counts how often the process died in a trial that has not come any further since.

    Args:
        path: the file that keeps the count; it is to be removed where a trial ends otherwise.
        epochs: how far the trial has come.

    Raises:
        RunError: when it has died too often.
    """
    old: dict[str, Any] = read_json(path) if path.is_file() else {"epochs": None}
    deaths = full = 0
    if old["epochs"] == epochs:
        deaths, full = old["deaths"] + 1, old.get("full", old["deaths"])
        full += _maybe_full(old.get("kills"), memory_kills())
    if full >= _BY_MEMORY or deaths >= _BY_ANYTHING:
        why = ", maybe for want of memory" if full else ""
        raise RunError(
            f"the process was killed {deaths} times in this trial after {epochs} epochs{why}"
        )
    write_json(path, {"epochs": epochs, "deaths": deaths, "full": full, "kills": memory_kills()})


def _maybe_full(before: str | None, now: str | None) -> bool:
    """Whether memory may have been full, by the system's count before a death and after it."""
    if before is None or now is None:
        return True
    same_start = before.partition(" ")[0] == now.partition(" ")[0]
    return same_start and before != now


def memory_kills() -> str | None:
    """The system's count of processes killed for want of memory, with which start it is of.

    Returns:
        A text that stays the same while none is; None where the system does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return f"{boot.strip()} {counts['oom_kill']}"
    except (OSError, ValueError, KeyError):
        return None
