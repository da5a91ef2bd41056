"""Mixed precision on processors that have no instructions for it."""

from __future__ import annotations

from kfkd.learning.determinism import accelerator
from kfkd.machine import instructions

_WANTED = {
    "mixed_bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "mixed_float16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}
"""Instructions, of x86 or Arm, of which a processor needs one to compute in a precision itself."""


def slow_here(precision: str) -> str | None:
    """A sentence where a mixed precision is emulated, and so slower than float32; else None.

    Args:
        precision: as for `kfkd.train`.
    """
    wanted = _WANTED.get(precision)
    if wanted is None or accelerator():
        return None
    known = instructions()
    if not known or known & wanted:
        return None
    return (
        f"this processor has no instructions for {precision}: usually float32 is several times as "
        "fast on it (kfkd bench precision MODEL measures that)"
    )
