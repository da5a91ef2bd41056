"""A sentence on stderr for a process that is ended from outside or by a library."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LISTENER = """
import sys
if sys.stdin.buffer.read() != b".":
    print(sys.argv[1], file=sys.stderr, flush=True)
"""


@contextmanager
def last_words(sentence: str) -> Iterator[None]:
    """Has a sentence said where this process ends inside the block without Python's knowing.

    A second, idle process listens for the end: libraries abort, and systems kill, without a way to
    say anything more. An exception is not such an end.

    Args:
        sentence: what is said.
    """
    listener = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LISTENER, sentence],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches every process of the session
    )
    assert listener.stdin is not None
    try:
        yield
    finally:
        with suppress(OSError):
            listener.communicate(b".")
