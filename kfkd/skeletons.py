"""Skeletons: ordered, named keypoints with their left/right pairs, groups and column subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kfkd.errors import KfkdError, UnknownName
from kfkd.point_names import IBUG_POINTS, IMM_POINTS, KAGGLE_POINTS


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of keypoints.

    Args:
        name: how the skeleton is called.
        points: keypoint names, in the order of the arrays.
        swaps: pairs of indices that a mirror image exchanges.
        groups: keypoint indices by part of the face.
        subsets: keypoint indices by the name of a subset to learn; "all" is always there.
        normaliser: the two keypoints whose distance normalises an error, where the field has one
            or the user names them.
    """

    name: str
    points: tuple[str, ...]
    swaps: tuple[tuple[int, int], ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    subsets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    normaliser: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.points)

    def as_dict(self) -> dict[str, Any]:
        """The skeleton as run.json keeps it."""
        return {
            "name": self.name,
            "points": list(self.points),
            "swaps": [list(pair) for pair in self.swaps],
            "groups": {name: list(points) for name, points in self.groups.items()},
            "subsets": {name: list(points) for name, points in self.subsets.items()},
            "normaliser": list(self.normaliser) if self.normaliser else None,
        }

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

    @property
    def eyes(self) -> tuple[int, int] | None:
        """The normaliser where a mirror image exchanges its two: they then tell how faces turn."""
        ends = self.normaliser
        return ends if ends and self.mirror[ends[0]] == ends[1] else None

    @property
    def normaliser_names(self) -> tuple[str, ...]:
        """The normaliser's two keypoints by name; () = none."""
        return tuple(self.points[i] for i in self.normaliser or ())

    def normalised_by(self, names: Sequence[str]) -> Skeleton:
        """The same keypoints with another normaliser.

        Args:
            names: of two of them, or a text with a comma between.

        Raises:
            KfkdError: when they are not two different ones of the skeleton's.
        """
        names = names.split(",") if isinstance(names, str) else names
        ends = tuple(self.points.index(name) for name in names if name in self.points)
        if len(names) != 2 or len(set(ends)) != 2:
            known = ", ".join(self.points)
            raise KfkdError(
                f"normalise wants two different keypoints of {known:.500}. "
                f"Received: {', '.join(map(str, names)) or 'none'}"
            )
        return replace(self, normaliser=(ends[0], ends[1]))

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


_DENSE = (0, 1, 10, 14)

KAGGLE_15 = Skeleton(
    name="KAGGLE_15",
    points=KAGGLE_POINTS,
    swaps=swaps_by_name(KAGGLE_POINTS),
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

IMM_58 = Skeleton(
    name="IMM_58",
    points=IMM_POINTS,
    swaps=swaps_by_name(IMM_POINTS),
    groups={
        "contour": tuple(range(13)),
        "eyes": tuple(range(13, 29)),
        "brows": tuple(range(29, 39)),
        "mouth": tuple(range(39, 47)),
        "nose": tuple(range(47, 58)),
    },
    subsets={"nose": (IMM_POINTS.index("nose_tip"),)},
    normaliser=(IMM_POINTS.index("right_eye_outer_corner"), 13),
)
"""The 58 keypoints of the IMM Face Database."""

IBUG_68 = Skeleton(
    name="IBUG_68",
    points=IBUG_POINTS,
    swaps=swaps_by_name(IBUG_POINTS),
    groups={
        "contour": tuple(range(17)),
        "brows": tuple(range(17, 27)),
        "nose": tuple(range(27, 36)),
        "eyes": tuple(range(36, 48)),
        "mouth": tuple(range(48, 68)),
    },
    subsets={"nose": (IBUG_POINTS.index("nose_tip"),)},
    normaliser=(36, 45),
)
"""The 68 keypoints of iBUG 300-W, which YouTube Faces uses too."""

SKELETONS: Mapping[str, Skeleton] = {s.name: s for s in (KAGGLE_15, IMM_58, IBUG_68)}

_MOST = 5_000
_BROKEN = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)

OWN = "own"
"""How a skeleton of a user's own keypoints is called; its points say all."""


def own_skeleton(points: Sequence[str]) -> Skeleton:
    """The skeleton of a user's own keypoints.

    Args:
        points: their names; a mirror image exchanges those that differ in `left` and `right` only.

    Returns:
        The known skeleton with the same points in the same order where there is one, else one
        called "own".

    Raises:
        KfkdError: when there are none, or a name is empty or there twice.

    Example:
        >>> own_skeleton(["left_eye", "right_eye", "nose"]).swaps
        ((0, 1),)
    """
    points = tuple(points)
    if not points or not all(points) or len(set(points)) < len(points):
        raise KfkdError(f"keypoints want names, each once. Received: {', '.join(points) or 'none'}")
    known = (s for s in SKELETONS.values() if s.points == points)
    return next(known, Skeleton(name=OWN, points=points, swaps=swaps_by_name(points)))


def skeleton_from(record: Any) -> Skeleton:
    """The skeleton that `Skeleton.as_dict` wrote.

    Args:
        record: out of a JSON file, so it may hold anything.

    Raises:
        KfkdError: when it describes no skeleton.
    """
    try:
        points = tuple(map(str, record["points"]))
        if len(points) > _MOST:
            raise ValueError(f"{len(points):,} keypoints are more than {_MOST:,}")
        own_skeleton(points)  # refuses names that are empty or there twice
        normaliser = record["normaliser"] or ()
        found = Skeleton(
            name=str(record["name"]),
            points=points,
            swaps=tuple((int(a), int(b)) for a, b in record["swaps"]),
            groups={str(k): tuple(map(int, v)) for k, v in record["groups"].items()},
            subsets={str(k): tuple(map(int, v)) for k, v in record["subsets"].items()},
            normaliser=(int(normaliser[0]), int(normaliser[1])) if normaliser else None,
        )
        used = [found.mirror, *found.groups.values(), *found.subsets.values(), normaliser]
        if not all(0 <= i < len(points) for chosen in used for i in chosen):
            raise ValueError("a keypoint's number is out of range")
        if not all(found.subsets.values()):
            raise ValueError("a subset has no keypoint")
    except _BROKEN as error:
        raise KfkdError(f"no skeleton: {error}. Received: {record!r:.200}") from error
    return found
