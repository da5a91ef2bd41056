"""Mixes of transforms, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kfkd.augment.elastic import Elastic, check_folds
from kfkd.augment.transforms import Geometric, Photometric, Transform
from kfkd.augment.warp import BORDERS
from kfkd.errors import KfkdError, UnknownName
from kfkd.skeletons import Skeleton

if TYPE_CHECKING:
    from kfkd.augment.applying import Augment

OUTSIDE = ("nan", "keep")


@dataclass(frozen=True)
class Frame:
    """What a mix does at the edge of the image.

    Args:
        border: what comes into the image from outside: "constant", "edge" or "reflect".
        fill: the constant, 0 to 255.
        outside: keypoints that leave the image become NaN ("nan") or stay where they are ("keep").
        size: (h, w) of the result in pixels; None = that of the images.

    Raises:
        UnknownName: for another word.
        KfkdError: when fill or size makes no sense.
    """

    border: str = "constant"
    fill: float = 0.0
    outside: str = "nan"
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, known in (("border", BORDERS), ("outside", OUTSIDE)):
            if getattr(self, name) not in known:
                raise UnknownName(f"{name} of a frame", str(getattr(self, name)), list(known))
        if not isinstance(self.fill, int | float) or not 0 <= self.fill <= 255:
            raise KfkdError(f"frame wants fill in [0, 255]. Received: {self.fill!r}")
        if self.size is not None and (
            len(self.size) != 2 or any(not isinstance(s, int) or s < 1 for s in self.size)
        ):
            raise KfkdError(f"frame wants size as (h, w) in pixels. Received: {self.size!r}")


@dataclass(frozen=True)
class Mix:
    """A mix of transforms, as data.

    Every image goes one of the branches, all equally often, and through each transform of it with
    that transform's share. All geometry becomes one matrix (a deformation after it) and one
    interpolation; photometric transforms follow in their order.

    Args:
        branches: alternatives, each a sequence of transforms; an empty one keeps the image.
        frame: what happens at the edge of the image.
        name: how messages call it; "" = by its text.

    Raises:
        KfkdError: when it holds something else than transforms, or elastic ones that together
            fold the image over itself.

    Example:
        >>> from kfkd.augment import Blur, Flip, Mix, Rotate
        >>> mix = Mix([[Flip(p=0.5), Rotate(15), Blur(1, p=0.2)]])
        >>> str(mix)
        'flip(p=0.5), rotate(degrees=15), blur(low=1, p=0.2)'
    """

    branches: Sequence[Sequence[Transform]]
    frame: Frame = field(default_factory=Frame)
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        branches = tuple(tuple(branch) for branch in self.branches)
        object.__setattr__(self, "branches", branches)
        for transform in (t for branch in branches for t in branch):
            if not isinstance(transform, Geometric | Photometric | Elastic):
                raise KfkdError(f"a mix wants transforms. Received: {transform!r}")
        if not branches:
            raise KfkdError("a mix wants at least one branch, () for images as they are")
        for branch in branches:
            check_folds([t for t in branch if isinstance(t, Elastic)])

    def __str__(self) -> str:
        parts = [", ".join(map(str, branch)) or "original" for branch in self.branches]
        told = [
            f"{key}={value!r}"
            for key, value in vars(self.frame).items()
            if value != getattr(Frame(), key)
        ]
        return " | ".join(parts) + (f", frame({', '.join(told)})" if told else "")

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """All transforms, branch by branch."""
        return tuple(transform for branch in self.branches for transform in branch)

    def bind(self, skeleton: Skeleton) -> Augment:
        """The mix as a function of images and keypoints.

        Args:
            skeleton: names the keypoints, so that a flip can swap left and right.
        """
        from kfkd.augment.applying import Augment

        return Augment(self, skeleton.mirror)
