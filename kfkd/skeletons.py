"""Skeletons: ordered, named keypoints with their left/right pairs, groups and column subsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kfkd.errors import UnknownName


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of keypoints.

    Args:
        name: how the skeleton is called.
        points: keypoint names, in the order of the arrays.
        swaps: pairs of indices that a mirror image exchanges.
        groups: keypoint indices by part of the face.
        subsets: keypoint indices by the name of a subset to learn; "all" is always there.
        normaliser: the two keypoints whose distance normalises an error, where the field has one.
    """

    name: str
    points: tuple[str, ...]
    swaps: tuple[tuple[int, int], ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    subsets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    normaliser: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the coordinates: `<point>_x`, `<point>_y` for every keypoint in order."""
        return tuple(f"{point}_{axis}" for point in self.points for axis in "xy")

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each keypoint the index of the one it becomes in a mirror image."""
        order = list(range(len(self)))
        for left, right in self.swaps:
            order[left], order[right] = right, left
        return tuple(order)

    def subset(self, name: str) -> tuple[int, ...]:
        """Keypoint indices of a subset to learn.

        Args:
            name: "all" or one of `subsets`.

        Raises:
            UnknownName: when the skeleton has no such subset.
        """
        if name == "all":
            return tuple(range(len(self)))
        if name not in self.subsets:
            raise UnknownName(f"subset of {self.name}", name, ["all", *self.subsets])
        return self.subsets[name]


def swaps_by_name(points: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of indices whose names differ only in `left` and `right`.

    Args:
        points: keypoint names.
    """
    index = {point: i for i, point in enumerate(points)}
    mirrored = {i: index.get(p.replace("left", "right")) for p, i in index.items() if "left" in p}
    return tuple((left, right) for left, right in mirrored.items() if right is not None)


_KAGGLE_POINTS = (
    "left_eye_center",
    "right_eye_center",
    "left_eye_inner_corner",
    "left_eye_outer_corner",
    "right_eye_inner_corner",
    "right_eye_outer_corner",
    "left_eyebrow_inner_end",
    "left_eyebrow_outer_end",
    "right_eyebrow_inner_end",
    "right_eyebrow_outer_end",
    "nose_tip",
    "mouth_left_corner",
    "mouth_right_corner",
    "mouth_center_top_lip",
    "mouth_center_bottom_lip",
)

_DENSE = (0, 1, 10, 14)

KAGGLE_15 = Skeleton(
    name="KAGGLE_15",
    points=_KAGGLE_POINTS,
    swaps=swaps_by_name(_KAGGLE_POINTS),
    groups={
        "eyes": (0, 1, 2, 3, 4, 5),
        "brows": (6, 7, 8, 9),
        "nose": (10,),
        "mouth": (11, 12, 13, 14),
    },
    subsets={"dense": _DENSE, "sparse": tuple(i for i in range(15) if i not in _DENSE)},
    normaliser=(0, 1),
)
"""Kaggle's 15 keypoints; "left" is the person's left, the right-hand side of the picture."""

SKELETONS: Mapping[str, Skeleton] = {KAGGLE_15.name: KAGGLE_15}
