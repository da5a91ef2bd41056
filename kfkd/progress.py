"""Progress on stderr: a line an epoch, and within long epochs where someone watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping


def say(message: str, quiet: bool = False) -> None:
    """One line on stderr, unless `quiet`."""
    if not quiet:
        print(message, file=sys.stderr, flush=True)


def say_once(message: str, quiet: bool = False) -> None:
    """As `say`, but the same words once in a process."""
    if not quiet and message not in _said:
        _said.add(message)
        say(message)


_said: set[str] = set()


def duration(seconds: float) -> str:
    """A time span for people: "48 s", "3 min 20 s", "1 h 05 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Ticker:
    """A line that is rewritten every second on a terminal and never appears in a log file.

    Args:
        quiet: say nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.active = not quiet and sys.stderr.isatty()
        self.last, self.width = time.monotonic(), 0

    def show(self, message: str) -> None:
        """Rewrites the line, at most once a second."""
        if self.active and time.monotonic() - self.last >= 1:
            self.last = time.monotonic()
            print("\r" + message.ljust(self.width), end="", file=sys.stderr, flush=True)
            self.width = len(message)

    def clear(self) -> None:
        """Removes the line."""
        if self.active and self.width:
            print("\r" + " " * self.width + "\r", end="", file=sys.stderr, flush=True)
            self.width = 0


def epoch_line(title: str, epochs: int, row: Mapping[str, float], mean_face: float) -> str:
    """What is said after an epoch.

    Args:
        title: subset being trained.
        epochs: epochs planned.
        row: the epoch's history row.
        mean_face: RMSE of the mean face on the same validation images, in pixels.
    """
    parts = [f"{title} {int(row['epoch']):>3}/{epochs}", f"train {row['rmse']:.3f} px"]
    if "val_rmse" in row:
        parts.append(f"validation {row['val_rmse']:.3f} px (mean face {mean_face:.2f})")
    parts.append(f"lr {row['learning_rate']:.2g}")
    return "  ".join([*parts, duration(row["seconds"])])
