"""What fused batch normalisation gains on this machine."""

from __future__ import annotations

from typing import Any


def bench_norms(
    name: str = "study_model_1",
    batch_size: int = 64,
    steps: int = 12,
    policy: str = "float32",
    quiet: bool = False,
) -> dict[str, Any]:
    """Times training steps with batch normalisation as Keras has it and fused, in turns.

    Args:
        name: entry of the zoo.
        batch_size: images a step.
        steps: timed steps of each round; there are three rounds, the best counts.
        policy: Keras dtype policy.
        quiet: no progress.

    Returns:
        "model", "precision", "keras_images_per_s", "fused_images_per_s" and their ratio "speedup":
        about 1 with a GPU, or under another backend, where nothing is changed.
    """
    from kfkd.bench.precision import rates, stepper
    from kfkd.learning.determinism import one_op_at_a_time

    one_op_at_a_time()
    timers = {
        kind: stepper(name, policy, batch_size, fused=kind == "fused")
        for kind in ("keras", "fused")
    }
    best = rates(timers, batch_size, steps, quiet)
    return {
        "model": name,
        "precision": policy,
        "batch_size": batch_size,
        **{f"{kind}_images_per_s": round(rate, 1) for kind, rate in best.items()},
        "speedup": round(best["fused"] / best["keras"], 3),
    }
