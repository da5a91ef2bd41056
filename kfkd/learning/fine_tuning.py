"""Fine-tuning of pre-trained backbones: the flags of `kfkd train`, and the phases they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kfkd.errors import KfkdError
from kfkd.registry import Phase

_RATE = 1e-4


def fine_tuning(
    epochs: int, last: int | str, head_epochs: int | None = None, rate: float | None = None
) -> tuple[Phase, ...]:
    """The phases of fine-tuning a backbone: its head first, then its last layers too.

    Args:
        epochs: in all.
        last: how many of the backbone's last layers learn in the end, or "all".
        head_epochs: of the head alone; 0 = everything in one go; None = a fifth of the epochs.
        rate: learning rate once the backbone learns; None = 0.0001.

    Returns:
        What `kfkd.train` takes as `phases`.

    Raises:
        KfkdError: when these are no such numbers.
    """
    if last != "all" and not (str(last).isdecimal() and int(last) >= 1):
        raise KfkdError(f"fine-tuning wants a number of layers from 1, or all. Received: {last}")
    head = epochs // 5 if head_epochs is None else head_epochs
    if not 0 <= head < max(epochs, 1):
        raise KfkdError(
            f"fine-tuning wants from 0 to {epochs - 1} of the {epochs} epochs for the head. "
            f"Received: {head}"
        )
    then = Phase(
        epochs - head, None if last == "all" else int(last), _RATE if rate is None else rate
    )
    return (Phase(head, 0), then) if head else (then,)


def fine_tuning_flags(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `fine_tuning` that give a recipe's phases.

    Args:
        recipe: as run.json holds it.

    Returns:
        "fine_tune", "head_epochs" and "fine_tune_rate", or nothing where none give them.
    """
    *first, last = recipe["phases"] or [asdict(Phase(0, 0))]
    head, total = sum(phase["epochs"] for phase in first), recipe["epochs"]
    if last["unfreeze"] == 0 or head >= total:
        return {}
    asked = (last["unfreeze"] or "all", head, last["learning_rate"])
    given = [asdict(phase) for phase in fine_tuning(total, *asked)]
    names = ("fine_tune", "head_epochs", "fine_tune_rate")
    return dict(zip(names, asked, strict=True)) if given == recipe["phases"] else {}
