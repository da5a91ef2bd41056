"""What averaging members wins on the values that a submission asks for, without any label."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kfkd.submissions.writer import submission_values

if TYPE_CHECKING:
    from kfkd.pipelines.kaggle import IdTable


@dataclass(frozen=True)
class Averaging:
    """What the mean of several members wins over the average of them.

    Args:
        members: how many there are.
        square_pixels: how far the mean's squared error lies below the average of theirs, whatever
            the labels are; their mean squared distance from it.
        image: ImageId of the image that has most of it.
        share: how much of it that image has, in [0, 1]. A face that one member sees elsewhere has
            nearly all.
    """

    members: int
    square_pixels: float
    image: int
    share: float

    def __str__(self) -> str:
        return (
            f"mean of {self.members} members, {self.square_pixels**0.5:.3f} px (RMS) from them: "
            f"whatever the labels are, its squared error is {self.square_pixels:.3f} px² below the "
            f"average of theirs ({self.share:.0%} of that on image {self.image})"
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def averaging(ambiguity: np.ndarray, members: int, ids: np.ndarray, table: IdTable) -> Averaging:
    """What averaging wins on the values of an id table.

    Args:
        ambiguity: (n, 15, 2) in square pixels, see `kfkd.submissions.ensembles.ambiguity`.
        members: how many were averaged.
        ids: int (n,), the ImageId of each row.
        table: what Kaggle asks for.

    Raises:
        KfkdError: as `submission_values` does.
    """
    values = submission_values(ambiguity, ids, table)
    images, place = np.unique(table.image_id, return_inverse=True)
    own = np.bincount(place, values)
    most, total = int(own.argmax()), float(own.sum())
    share = float(own[most]) / total if total else 0.0
    return Averaging(members, float(values.mean()), int(images[most]), share)
