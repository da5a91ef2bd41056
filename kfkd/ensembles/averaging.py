"""What averaging nets wins over them one by one, for which no label is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.submissions.ensembles import ambiguity
from kfkd.submissions.writer import submission_values

if TYPE_CHECKING:
    from kfkd.pipelines.kaggle import IdTable


_ROUNDING = 1e-9
"""Square pixels that are no gain: nets that answer alike may differ by it."""


@dataclass(frozen=True)
class Averaged:
    """A mean of several nets.

    Args:
        nets: how many have a weight.
        ambiguity: (n, k, 2) in square pixels, see `kfkd.submissions.ensembles.ambiguity`.
    """

    nets: int
    ambiguity: np.ndarray


@dataclass(frozen=True)
class Gain:
    """What a mean of several nets wins on the values that a submission asks for, before clipping.

    Args:
        nets: how many are averaged.
        square_pixels: how far the mean's squared error lies below theirs, averaged with the same
            weights, whatever the labels are.
        image: ImageId of the image that has most of it.
        share: how much of it that image has, in [0, 1]: nearly all, where one net sees the face
            elsewhere.
    """

    nets: int
    square_pixels: float
    image: int
    share: float

    def __str__(self) -> str:
        won = f"{self.square_pixels:{'.2g' if self.square_pixels < 10 else '.0f'}}"
        return (
            f"mean of {self.nets} nets: whatever the labels are, its squared error is {won} px² "
            f"below theirs, averaged alike; {self.share:.0%} of that is image {self.image}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def averaged(
    nets: Sequence[Sequence[np.ndarray]], weights: Sequence[float] | None = None
) -> Averaged | None:
    """The mean of members, each of which is the mean of its nets.

    Args:
        nets: of each member, what its nets predict, (n, k, 2) in pixels.
        weights: a number a member; None = equal ones.

    Returns:
        None where fewer than two nets have a weight.
    """
    given = np.ones(len(nets)) if weights is None else np.asarray(weights, np.float64)
    pairs = zip(nets, given, strict=True)
    used = [(net, weight / len(own)) for own, weight in pairs if weight > 0 for net in own]
    if len(used) < 2:
        return None
    answers, shares = zip(*used, strict=True)
    # Where none of these predicts, a member without weight does, alone.
    return Averaged(len(used), np.nan_to_num(ambiguity(answers, shares)))


def gain(mean: Averaged | None, ids: np.ndarray, table: IdTable) -> Gain | None:
    """What a mean wins on the values of an id table.

    Args:
        mean: of 15 keypoints; None = it is not known.
        ids: int (n,), the ImageId of each row of its ambiguity.
        table: what Kaggle asks for.

    Returns:
        None where that is nothing, as of nets that answer alike or for different keypoints.

    Raises:
        KfkdError: as `submission_values` does.
    """
    if mean is None:
        return None
    values = submission_values(mean.ambiguity, ids, table)
    if not (values > _ROUNDING).any():
        return None
    images, place = np.unique(table.image_id, return_inverse=True)
    own = np.bincount(place, values)
    image, share = int(images[own.argmax()]), float(own.max() / own.sum())
    return Gain(mean.nets, float(values.mean()), image, share)
