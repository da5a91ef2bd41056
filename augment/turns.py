"""Which images of a batch a transform is applied to."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from kfkd.augment.draws import Draws, ranks
from kfkd.augment.mixing import Mix
from kfkd.augment.transforms import Transform
from kfkd.lazy import keras


@dataclass(frozen=True)
class Turn:
    """A transform on the images that it is applied to.

    Args:
        transform: what.
        on: bool (n,), which images.
        most: how many they are at most.
    """

    transform: Transform
    on: Any
    most: int


def turns_of(mix: Mix, draws: Draws, n: int) -> list[Turn]:
    """For each transform of a mix the images that it is applied to.

    Shares are kept within each batch as exactly as whole images allow, at random places in it:
    the number of images that a transform may have to work on is then known beforehand.

    Args:
        mix: the transforms.
        draws: a stream for each image.
        n: how many images.
    """
    count = len(mix.branches)
    places = ranks(draws.uniform())
    branch = keras.ops.floor((places + draws.one()) / n * count)
    members = [keras.ops.equal(branch, float(number)) for number in range(count)]
    return [
        _turn(transform, member, ceil(n / count), draws)
        for member, transforms in zip(members, mix.branches, strict=True)
        for transform in transforms
    ]


def _turn(transform: Transform, member: Any, most: int, draws: Draws) -> Turn:
    ops = keras.ops
    # Members come first in this order, others after all of them.
    order = draws.uniform() + ops.where(member, 0.0, 2.0)
    places = ranks(order)
    most = ceil(transform.p * most)
    # Rounded up a share may come out above `most`; an image beyond would lose its pixels' move.
    wanted = ops.minimum(transform.p * ops.sum(ops.cast(member, "float32")), float(most))
    on = ops.logical_and(member, places + draws.one() < wanted)
    return Turn(transform, on, most)
