"""How fast a model trains under several mixes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from kfkd.augment import Mix
from kfkd.building import build
from kfkd.faces import FaceSet
from kfkd.learning.optimizing import optimizer_for
from kfkd.learning.surroundings import precision
from kfkd.losses import PixelRMSE, loss_called
from kfkd.pipelines.device_steps import fitting, training_steps
from kfkd.progress import say
from kfkd.registry import Entry

WARM = 6
"""Steps before those that are timed: the first ones compile."""

_SCHEDULED = 10_000  # steps of a rate's schedule: none is ever trained to its end here


class Spent(NamedTuple):
    """What an image took: seconds on the clock, and of all the process' threads on the CPU."""

    clock: float
    cpu: float


def training_costs(
    found: Entry,
    mixes: Mapping[str, Mix],
    faces: FaceSet,
    policy: str = "float32",
    batch_size: int = 50,
    steps: int = 25,
    rounds: int = 3,
    quiet: bool = False,
) -> dict[str, list[Spent]]:
    """Seconds an image of training as `kfkd.train` does it; mixes take turns.

    Args:
        found: entry of the zoo; its first subset is trained.
        mixes: by name.
        faces: to train on.
        policy: Keras dtype policy.
        batch_size: images a step.
        steps: timed steps of each round, after some that are not timed.
        rounds: how often.
        quiet: no progress.

    Returns:
        For each mix what it took in each round.
    """
    model = compiled_entry(found, faces, policy)
    epochs = -(-(WARM + steps) * batch_size // len(faces)) + 1
    costs: dict[str, list[Spent]] = {name: [] for name in mixes}
    for number in range(rounds):
        for name, mix in mixes.items():
            batches = training_steps(
                faces,
                batch_size,
                subset=found.subsets[0],
                codec=found.codec,
                seed=number,
                epochs=epochs,
                augment=mix.bind(faces.skeleton) if mix.transforms else None,
            )
            spent = timed_steps(model, batches, steps)
            costs[name].append(Spent(*(seconds / (steps * batch_size) for seconds in spent)))
            rate = 1 / costs[name][-1].clock
            say(f"round {number + 1}, training with {name}: {rate:.0f} images/s", quiet)
    return costs


def compiled_entry(
    found: Entry,
    faces: FaceSet,
    policy: str,
    subset: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> keras.Model:
    """An entry's model, compiled as `kfkd.train` compiles it.

    Args:
        found: the entry.
        faces: what it will learn from.
        policy: Keras dtype policy.
        subset: its keypoints; None = the entry's first.
        options: for the builder.
    """
    outputs = found.codec.outputs(len(faces.skeleton.subset(subset or found.subsets[0])))
    with precision(policy):
        model = build(found.name, outputs, faces.images.shape[1:], **(options or {}))
        optimizer = optimizer_for(found.recipe, None, _SCHEDULED)
        loss = found.codec.loss(loss_called(found.recipe.loss))
        model.compile(optimizer, loss, metrics=[PixelRMSE(found.codec)])
    return model


def timed_steps(model: keras.Model, batches: Any, steps: int) -> Spent:
    """What some steps of a training took in all.

    Args:
        model: compiled.
        batches: of `training_steps`, `WARM` more than `steps`, or longer.
        steps: how many are timed.
    """
    clock = _Clock(WARM - 1, WARM + steps - 1)
    settings = {
        "steps_per_epoch": WARM + steps,
        "callbacks": [clock],
        "shuffle": False,
        "verbose": 0,
    }
    with fitting(model, batches) as made:
        model.fit(made, **settings)
    begin, end = clock.times
    return Spent(end.clock - begin.clock, end.cpu - begin.cpu)


class _Clock(keras.callbacks.Callback):
    """The times at the ends of two steps."""

    async_safe = True
    """Keras need not wait for every step, as `kfkd.train` does not."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.steps, self.times = (first, last), list[Spent]()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch in self.steps:
            float((logs or {})["loss"])  # waits for the step on an accelerator
            self.times.append(Spent(time.perf_counter(), time.process_time()))
