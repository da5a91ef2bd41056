"""How a fold's net answers: what tells that predictions kept of it are of another time."""

from __future__ import annotations

from zlib import crc32

from kfkd.runs import Run
from kfkd.thorough_looks import ELSEWHERE, LOOKS


def answers_digest(run: Run) -> str | None:
    """What changes when a run comes to answer otherwise, such as by `kfkd.correct`.

    Args:
        run: a fold's.

    Returns:
        Eight hexadecimal digits; None for nets that answer as they always did.
    """
    told = [
        (
            run.second_look(subset) and (LOOKS, ELSEWHERE),
            run.label_offset(subset).tolist(),
            {key: one.as_lists() for key, one in run.corrections(subset).items()},
        )
        for subset in run.subsets
    ]
    other = any(looks or any(map(any, offset)) or found for looks, offset, found in told)
    return f"{crc32(repr(told).encode()):08x}" if other else None
