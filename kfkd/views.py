"""Test-time views: an image mirrored and zoomed, the predictions brought back and averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.errors import KfkdError
from kfkd.lazy import cv2

_TOGETHER = 64
"""Views of few images are answered in one call, which keeps a machine busier."""


@dataclass(frozen=True)
class Views:
    """Ways to look at an image.

    Args:
        flip: whether its mirror image is looked at too; left and right are swapped back.
        scales: zooms about the image's centre, 1 = as it is; below 1 the border is repeated.

    Raises:
        KfkdError: when there is no scale, or one outside 0.25 to 4.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))
        fits = all(isinstance(s, int | float) and 0.25 <= s <= 4 for s in self.scales)
        if not self.scales or not fits or not isinstance(self.flip, bool):
            raise KfkdError(f"views want scales from 0.25 to 4, flip yes or no. Received: {self!r}")

    def __len__(self) -> int:
        return len(self.scales) * (1 + self.flip)

    def config(self) -> dict[str, Any]:
        """The views as plain data, for `views_from`."""
        return {"flip": self.flip, "scales": list(self.scales)}

    def predict(
        self,
        images: np.ndarray,
        answer: Callable[[np.ndarray], np.ndarray],
        mirror: Sequence[int] | None,
    ) -> np.ndarray:
        """The mean of what is predicted in every view.

        Args:
            images: uint8 (n, h, w, c).
            answer: images → points (n, k, 3): x, y and their doubt in pixels, NaN = unknown.
            mirror: for each point the index of the one it becomes in a mirror image; None = they
                have no mirror images, and only one side is looked at.

        Returns:
            float32 (n, k, 3) in pixels; the doubt has the views' disagreement in it.
        """
        sides = (None, mirror) if self.flip and mirror is not None else (None,)
        kinds = [(scale, side) for scale in self.scales for side in sides]
        seen = (_seen(images, scale, side is not None) for scale, side in kinds)
        if len(images) * len(kinds) <= _TOGETHER:
            answered: Iterable[np.ndarray] = np.split(answer(np.concatenate([*seen])), len(kinds))
        else:
            answered = map(answer, seen)
        found = [
            _back(points, images.shape[1:3], *kind)
            for points, kind in zip(answered, kinds, strict=True)
        ]
        return found[0] if len(found) == 1 else _mean(np.stack(found))


def _mean(found: np.ndarray) -> np.ndarray:
    """Mean points of views (v, n, k, 3); their variances add to the variance between views."""
    mean = found.mean(axis=0, dtype=np.float32)
    known = np.nan_to_num(np.square(found[..., 2]).mean(axis=0))
    mean[..., 2] = np.sqrt(known + found[..., :2].var(axis=0).mean(axis=-1))
    return mean


def views_from(config: Any) -> Views:
    """The views that `config()` described, out of a JSON file.

    Raises:
        KfkdError: when it describes none.
    """
    if not isinstance(config, dict) or not set(config) <= {"flip", "scales"}:
        raise KfkdError(f"views want flip and scales. Received: {config!r:.200}")
    scales = config.get("scales", (1.0,))
    if not isinstance(scales, list | tuple):
        raise KfkdError(f"views want a list of scales. Received: {scales!r:.200}")
    return Views(config.get("flip", False), tuple(scales))


def _seen(images: np.ndarray, scale: float, mirrored: bool) -> np.ndarray:
    """One view of images."""
    seen = images if scale == 1 else zoomed(images, scale)
    return np.ascontiguousarray(seen[:, :, ::-1]) if mirrored else seen


def _back(
    points: np.ndarray, size: tuple[int, int], scale: float, mirror: Sequence[int] | None
) -> np.ndarray:
    """Points (n, k, 3) of one view in pixels of the images (h, w) as they are."""
    height, width = size
    if mirror is not None:
        points = points[:, list(mirror)].copy()
        points[..., 0] = width - 1 - points[..., 0]
    if scale == 1:
        return points
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 0], np.float32)
    return centre + (points - centre) / np.float32(scale)


def zoomed(images: np.ndarray, scale: float) -> np.ndarray:
    """Images zoomed about their centre, their outermost pixels repeated where they end.

    Args:
        images: uint8 (n, h, w, c).
        scale: above 1 = nearer.
    """
    height, width = images.shape[1:3]
    shift = [(1 - scale) * (width - 1) / 2, (1 - scale) * (height - 1) / 2]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    return moved(images, np.broadcast_to(matrix, (len(images), 2, 3)))


def moved(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Images shifted and zoomed, each its own way, their outermost pixels repeated where they end.

    Args:
        images: uint8 (n, h, w, c).
        matrices: float64 (n, 2, 3): moved = matrix @ (x, y, 1), pixel centres in both.
    """
    size = images.shape[2], images.shape[1]
    made = [
        cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        for image, matrix in zip(images, matrices, strict=True)
    ]
    return np.reshape(made, images.shape).astype(np.uint8, copy=False)
