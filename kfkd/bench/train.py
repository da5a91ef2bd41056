"""How fast an entry trains on this machine, and what it makes of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from kfkd.augment import Mix
from kfkd.bench.matrix import matrix_rate
from kfkd.errors import KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.learning.determinism import device_name, one_op_at_a_time
from kfkd.learning.settings import PRECISIONS, chosen_mix
from kfkd.progress import say
from kfkd.registry import Entry, entry

_ROUND = 3.0
"""Seconds that a round takes at least, where `steps` does not say how many steps it has."""

_FORWARD = 3
"""Training is a forward pass, and two as long backwards: to the inputs and to the weights."""


def bench_train(
    name: str = "study_model_1",
    *,
    subset: str | None = None,
    batch_size: int | None = None,
    precision: str = "float32",
    augment: str | Mix | None = "published",
    options: Mapping[str, Any] | None = None,
    rounds: int = 3,
    steps: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Times training as `kfkd.train` does it, and beside it the same on one constant batch.

    The two take turns, and medians over the rounds of paired ratios count, so that a busy machine
    spoils little; compiling is not counted.

    Args:
        name: entry of the zoo; it learns noise.
        subset: which of its models; None = its first.
        batch_size: images a step; None = the entry's.
        precision: Keras dtype policy.
        augment: "published", a mix, its name or text; None or "none" = no augmentation.
        options: for the builder.
        rounds: how often.
        steps: timed steps of a round; None = as many as take three seconds.
        quiet: no progress.

    Returns:
        Ratios first: "pipeline_share", what part of a step goes to the input pipeline,
        "of_matrix_rate", the share that training's operations reach of the rate at which the
        device multiplies large matrices in the same precision, None where the operations of a
        closed module cannot be counted. Then "images_per_s", "step_ms", "constant_batch_ms",
        "tflops" and "matrix_tflops" (10¹² operations a second), "gflops_per_image" (10⁹, forward
        and backward), and what was measured on: "backend", "device" and the settings.

    Raises:
        UnknownName: when there is no such model, subset, precision or mix.
        KfkdError: when a number makes no sense or a mix changes the images' size.
    """
    from kfkd.bench.training import compiled_entry
    from kfkd.models.costs import gflops

    found = entry(name)
    subset = found.subsets[0] if subset is None else subset
    size = found.recipe.batch_size if batch_size is None else batch_size
    _check(size, rounds, 1 if steps is None else steps, precision)
    chosen = _drawn_mix(found, augment)
    one_op_at_a_time()
    faces = _noise(found, max(512, 4 * size))
    model = compiled_entry(found, faces, precision, subset, options)
    bound = chosen.bind(faces.skeleton) if chosen else None
    times = _step_times(model, (found, faces, subset, size, bound), rounds, steps, quiet)
    say("measuring products of large matrices", quiet)
    figures = _figures(times, size, gflops(model), matrix_rate(precision.removeprefix("mixed_")))
    return {
        **figures,
        "backend": keras.config.backend(),
        "device": device_name(),
        "model": name,
        "subset": subset,
        "precision": precision,
        "augment": str(chosen.name or chosen) if chosen else "none",
        "batch_size": size,
        "rounds": rounds,
    }


def _drawn_mix(found: Entry, augment: str | Mix | None) -> Mix | None:
    """The mix that goes over every batch; fixed copies are made beforehand."""
    recipe, chosen, _ = chosen_mix(found.recipe, augment, None)
    if chosen and chosen.frame.size is not None:
        raise KfkdError(f"training wants a mix that keeps the images' size. Received: {chosen}")
    return chosen if chosen and chosen.transforms and not recipe.copies else None


def _check(batch_size: int, rounds: int, steps: int, precision: str) -> None:
    if min(batch_size, rounds, steps) < 1:
        received = f"{batch_size}, {rounds}, {steps}"
        raise KfkdError(f"batch_size, rounds and steps want to be 1 at least. Received: {received}")
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, list(PRECISIONS))


def _noise(found: Entry, n: int) -> FaceSet:
    """Images of noise in the entry's size, with all its points: speed does not depend on them."""
    drawn, (height, width, _) = np.random.default_rng(0), found.input_shape
    points = drawn.uniform(0, (width - 1, height - 1), (n, len(found.skeleton), 2))
    return FaceSet(
        images=drawn.integers(0, 256, (n, *found.input_shape), dtype=np.uint8),
        keypoints=points.astype(np.float32),
        skeleton=found.skeleton,
        source=np.full(n, "full"),
        group=np.arange(n, dtype=np.uint64),
        ids=np.arange(1, n + 1),
    )


def _step_times(
    model: Any, job: tuple[Any, ...], rounds: int, steps: int | None, quiet: bool
) -> dict[str, list[float]]:
    """Seconds of a step in each round: of training, and of training on one batch."""
    from kfkd.bench.training import WARM, timed_steps
    from kfkd.pipelines.device_steps import one_batch, training_steps

    found, faces, subset, size, augment = job

    def batches(count: int, seed: int) -> Any:
        epochs = -(-(WARM + count) * size // len(faces)) + 1
        settings = {"subset": subset, "codec": found.codec, "augment": augment}
        return training_steps(faces, size, seed=seed, epochs=epochs, **settings)

    say(f"compiling {found.name} and its pipeline", quiet)
    first = timed_steps(model, batches(5, 0), 5).clock / 5
    count = steps or max(5, round(_ROUND / first))
    times: dict[str, list[float]] = {"training": [], "constant": []}
    for number in range(1, rounds + 1):
        for kind, taken in times.items():
            made = batches(count, number)
            made = one_batch(made, WARM + count) if kind == "constant" else made
            taken.append(timed_steps(model, made, count).clock / count)
            rate = size / taken[-1]
            say(f"round {number}, {kind}: {rate:.0f} images/s in {count} steps", quiet)
    return times


def _figures(
    times: Mapping[str, list[float]], size: int, forward: float | None, matrix: float
) -> dict[str, Any]:
    cost = None if forward is None else _FORWARD * forward
    pairs = zip(times["constant"], times["training"], strict=True)
    share = 1 - median(constant / training for constant, training in pairs)
    step = median(times["training"])
    reached = None if cost is None else cost * 1e9 * size / step
    return {
        "pipeline_share": round(share, 4),
        "of_matrix_rate": None if reached is None else round(reached / matrix, 4),
        "images_per_s": round(size / step, 1),
        "step_ms": round(1000 * step, 3),
        "constant_batch_ms": round(1000 * median(times["constant"]), 3),
        "tflops": None if reached is None else round(reached / 1e12, 4),
        "matrix_tflops": round(matrix / 1e12, 4),
        "gflops_per_image": None if cost is None else round(cost, 4),
    }
