"""What augmentation costs in training, and how fast it is against per-image code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from kfkd.augment import Mix, mix
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.progress import say
from kfkd.registry import entry

if TYPE_CHECKING:
    from kfkd.bench.training import Spent

_BATCH = 50
_THEIRS = ("numpy_opencv", "numpy_opencv_loop", "albumentations")


def bench_augment(
    model: str = "study_model_1",
    mixes: Sequence[str] = ("standard", "strong"),
    precision: str = "float32",
    rounds: int = 3,
    steps: int = 25,
    faces: FaceSet | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Times training with and without augmentation, and mixes against per-image code, in one run.

    Everything takes turns, and medians over the rounds of paired ratios count, so that a busy
    machine spoils little; compiling is not counted.

    Args:
        model: entry of the zoo, trained on its first subset as `kfkd.train` does.
        mixes: names or texts; "none" is always measured.
        precision: Keras dtype policy of the training.
        rounds: how often.
        steps: timed training steps a round, batches of 50.
        faces: to train on; None = 1,000 built-in ones.
        quiet: no progress.

    Returns:
        "model", "precision", "rounds", "batch_size", "none_images_per_s" in training; for each
        mix M "M_images_per_s" in training, "M_extra" (share of time that it adds to training),
        "M_extra_cpu" (share of CPU time, which other processes disturb less),
        "M_pipeline_images_per_s" of the input pipeline alone; and for the same mix in
        per-image code "M_WAY_images_per_s" and "M_against_WAY", how many times as fast ours is.
        WAY is "numpy_opencv", called for each image as is usual, "numpy_opencv_loop", called for
        each batch, and "albumentations", None where it is not installed.

    Raises:
        UnknownName: when there is no such model or mix.
        KfkdError: when a number makes no sense, a mix changes the images' size, or Keras does not
            run on TensorFlow.
    """
    from kfkd.bench.training import training_costs
    from kfkd.learning.determinism import one_op_at_a_time
    from kfkd.pipelines.bench_augment import pipeline_rates
    from kfkd.pipelines.synthetic import synthetic_faces

    found, chosen = entry(model), _chosen(mixes)
    if (backend := keras.config.backend()) != "tensorflow":
        raise KfkdError(f"bench augment wants KERAS_BACKEND=tensorflow. Received: {backend}")
    if min(rounds, steps) < 1:
        raise KfkdError(f"rounds and steps want to be 1 at least. Received: {rounds}, {steps}")
    one_op_at_a_time()
    faces = faces or synthetic_faces(1000)
    trained = training_costs(found, chosen, faces, precision, _BATCH, steps, rounds, quiet)
    alone = {name: what for name, what in chosen.items() if name != "none"}
    subset = found.subsets[0]
    piped = pipeline_rates(alone, faces, _BATCH, 2 * steps, rounds, subset, quiet)
    if not all("albumentations" in rates for rates in piped.values()):
        say("albumentations is not installed, so nothing is measured against it", quiet)
    facts = {"model": model, "precision": precision, "rounds": rounds, "batch_size": _BATCH}
    return {**facts, **_training_figures(trained), **_pipeline_figures(piped)}


def _chosen(mixes: Sequence[str]) -> dict[str, Mix]:
    chosen = {"none": mix("none"), **{what: mix(what) for what in mixes}}
    for what in chosen.values():
        if what.frame.size is not None:
            raise KfkdError(f"training wants a mix that keeps the images' size. Received: {what}")
    return chosen


def _training_figures(costs: Mapping[str, list[Spent]]) -> dict[str, Any]:
    clocks = {name: [spent.clock for spent in found] for name, found in costs.items()}
    figures = {f"{n}_images_per_s": round(1 / median(clock), 1) for n, clock in clocks.items()}
    for name in costs:
        if name != "none":
            pairs = list(zip(costs[name], costs["none"], strict=True))
            extra = median(one.clock / none.clock for one, none in pairs) - 1
            cpu = median(one.cpu / none.cpu for one, none in pairs) - 1
            figures |= {f"{name}_extra": round(extra, 4), f"{name}_extra_cpu": round(cpu, 4)}
    return figures


def _pipeline_figures(piped: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, rates in piped.items():
        ours = rates["pipeline"]
        figures[f"{name}_pipeline_images_per_s"] = round(median(ours), 1)
        for kind in _THEIRS:
            theirs = rates.get(kind)
            pairs = zip(ours, theirs or ours, strict=True)
            ratio = round(median(mine / other for mine, other in pairs), 2)
            figures[f"{name}_{kind}_images_per_s"] = round(median(theirs), 1) if theirs else None
            figures[f"{name}_against_{kind}"] = ratio if theirs else None
    return figures
