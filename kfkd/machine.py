"""What a figure was measured on: machine and versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("kfkd", "keras", "tensorflow", "jax", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, its cores that this process may use, and the system."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def machine_words(facts: Mapping[str, Any]) -> str:
    """A machine in words, such as "AMD EPYC, 2 cores" or "NVIDIA H200 (AMD EPYC, 16 cores)".

    Args:
        facts: of `machine`, and the "accelerator" that trained where there was one.
    """
    processor = f"{facts['cpu']}, {facts['cores']} core{'' if facts['cores'] == 1 else 's'}"
    name = facts.get("accelerator")
    return f"{name} ({processor})" if name else processor


def instructions() -> frozenset[str]:
    """What the processor can do by itself, as Linux calls it; empty where the system does not tell.

    Such as "avx512_bf16" of x86 processors, "bf16" of Arm's.
    """
    told = _cpuinfo("flags") or _cpuinfo("Features") or ""
    return frozenset(told.split())


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or "unknown"


def _cpuinfo(key: str) -> str | None:
    """What Linux says of the first core under a name; None where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    parts = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in parts if name.strip() == key), None)
