"""What mixed precision gains on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from kfkd.progress import say


def bench_precision(
    name: str = "study_model_2",
    batch_size: int = 64,
    steps: int = 12,
    policy: str = "mixed_bfloat16",
    quiet: bool = False,
) -> dict[str, Any]:
    """Times training steps in float32 and in mixed precision, in turns, in one run.

    Args:
        name: entry of the zoo.
        batch_size: images a step.
        steps: timed steps of each round; there are three rounds, the best counts.
        policy: the mixed precision.
        quiet: no progress.

    Returns:
        "model", "float32_images_per_s", "<policy>_images_per_s" and their ratio "speedup".
    """
    from kfkd.learning.determinism import one_op_at_a_time

    one_op_at_a_time()
    timers = {p: stepper(name, p, batch_size) for p in ("float32", policy)}
    best = rates(timers, batch_size, steps, quiet)
    return {
        "model": name,
        "batch_size": batch_size,
        **{f"{kind}_images_per_s": round(rate, 1) for kind, rate in best.items()},
        "speedup": round(best[policy] / best["float32"], 3),
    }


def rates(
    timers: Mapping[str, Callable[[], Any]], batch_size: int, steps: int, quiet: bool
) -> dict[str, float]:
    """Images a second of each kind of step: the best of three rounds, taken in turns.

    Args:
        timers: the steps by name.
        batch_size: images a step.
        steps: timed steps of each round.
        quiet: no progress.
    """
    best = dict.fromkeys(timers, 0.0)
    for number in range(3):
        for kind, step in timers.items():
            began = time.perf_counter()
            for _ in range(steps):
                step()
            rate = steps * batch_size / (time.perf_counter() - began)
            best[kind] = max(best[kind], rate)
            say(f"round {number + 1}, {kind}: {rate:.0f} images/s", quiet)
    return best


def stepper(name: str, policy: str, batch_size: int, fused: bool = True) -> Callable[[], Any]:
    """A training step of a model on constant data, compiled and run once.

    Args:
        name: entry of the zoo.
        policy: Keras dtype policy.
        batch_size: images.
        fused: batch normalisations as `kfkd.train` makes them, else as Keras does.
    """
    from kfkd.building import build
    from kfkd.learning.surroundings import precision
    from kfkd.losses import loss_called
    from kfkd.pipelines.fused_norms import fused_norms
    from kfkd.registry import entry

    with precision(policy):
        model = build(name)
        model.compile(entry(name).recipe.optimizer, loss_called(entry(name).recipe.loss))
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (batch_size, *model.input_shape[1:]), dtype=np.uint8)
    targets = drawn.uniform(20, 76, (batch_size, *model.output_shape[1:])).astype(np.float32)
    with fused_norms(model) if fused else nullcontext():
        model.train_on_batch(images, targets)
    return lambda: model.train_on_batch(images, targets)
