"""Applying a mix to a batch of images and keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.augment.draws import Draws, first
from kfkd.augment.mixing import Mix
from kfkd.augment.placing import Placing
from kfkd.augment.transforms import Photometric
from kfkd.augment.turns import Turn, turns_of
from kfkd.errors import KfkdError
from kfkd.lazy import keras


@dataclass(frozen=True)
class Augment:
    """A mix bound to keypoints: the same function inside tf.data and on an accelerator.

    Args:
        mix: the transforms.
        mirror: for each keypoint the index of the one it becomes in a mirror image.
    """

    mix: Mix
    mirror: tuple[int, ...]

    def __call__(
        self, images: Any, keypoints: Any, seed: Any, numbers: Any = None
    ) -> tuple[Any, Any]:
        """Transforms a batch; its shape must be known.

        Args:
            images: uint8 (n, h, w, c).
            keypoints: float32 (n, k, 2) in pixels, NaN = not labelled.
            seed: int32 (2,), the training's seed and the step.
            numbers: int32 (n,), what tells the images' draws apart; None = 0 to n − 1.

        Returns:
            uint8 images and float32 keypoints; NaN stays NaN.

        Raises:
            KfkdError: when they are something else, or their shape is not known.
        """
        self._check(images, keypoints)
        n = images.shape[0]
        draws = Draws(seed, keras.ops.arange(n, dtype="int32") if numbers is None else numbers)
        turns = turns_of(self.mix, draws, n)
        if self.mix.frame.size or any(not isinstance(t.transform, Photometric) for t in turns):
            images, keypoints = self._moved(images, keypoints, draws, turns)
        for turn in turns:
            if isinstance(turn.transform, Photometric):
                images = _toned(keras.ops.cast(images, "float32"), draws, turn)
        if keras.backend.standardize_dtype(images.dtype) != "uint8":
            images = keras.ops.cast(keras.ops.round(keras.ops.clip(images, 0, 255)), "uint8")
        return images, keypoints

    def _check(self, images: Any, keypoints: Any) -> None:
        shape = _shape(images)
        if len(shape) != 4 or None in shape:
            told = shape or type(images).__name__
            raise KfkdError(f"a mix wants images of known shape (n, h, w, c). Received: {told}")
        kind = keras.backend.standardize_dtype(images.dtype)
        if kind != "uint8":
            raise KfkdError(f"a mix wants uint8 images, values 0 to 255. Received: {kind}")
        points, wanted = _shape(keypoints), (shape[0], len(self.mirror), 2)
        if len(points) != 3 or any(p not in (None, w) for p, w in zip(points, wanted, strict=True)):
            raise KfkdError(
                f"a mix bound to {len(self.mirror)} keypoints wants keypoints {wanted} for these "
                f"images. Received: {points or type(keypoints).__name__}"
            )
        kind = keras.backend.standardize_dtype(keypoints.dtype)
        if kind != "float32":
            raise KfkdError(f"a mix wants float32 keypoints. Received: {kind}")

    def _moved(
        self, images: Any, keypoints: Any, draws: Draws, turns: list[Turn]
    ) -> tuple[Any, Any]:
        n, height, width, _ = images.shape
        place = Placing((height, width), self.mix.frame.size or (height, width), n)
        for turn in turns:
            place.add(turn, draws)
        points = self._moved_points(keypoints, place)
        most = n if self.mix.frame.size else min(n, place.most)
        if most == n:
            return place.fetch(images, self.mix.frame), points
        rows = first(place.active, most)
        pixels = keras.ops.cast(images, "float32")
        warped = place.of(rows).fetch(keras.ops.take(images, rows, axis=0), self.mix.frame)
        return keras.ops.scatter_update(pixels, rows[:, None], warped), points

    def _moved_points(self, keypoints: Any, place: Placing) -> Any:
        ops, before = keras.ops, keypoints
        here = place.points(keypoints)
        swapped = ops.take(here, np.asarray(self.mirror, np.int32), axis=1)
        here = ops.where(place.mirrored[:, None, None], swapped, here)
        if self.mix.frame.size is None:
            # A point with one coordinate only would lose it to the matrix, even to that of rest.
            here = ops.where(place.active[:, None, None], here, before)
        if self.mix.frame.outside == "keep":
            return here
        inside = _inside(before, place.size)
        swapped = ops.take(inside, np.asarray(self.mirror, np.int32), axis=1)
        inside = ops.where(place.mirrored[:, None], swapped, inside)
        lost = ops.logical_and(inside, ops.logical_not(_inside(here, place.into)))
        return ops.where(lost[..., None], np.float32(np.nan), here)


def _shape(array: Any) -> tuple[int | None, ...]:
    """An array's shape; () of what has none, or none that is known."""
    shape = getattr(array, "shape", ())
    return () if getattr(shape, "rank", 0) is None else tuple(shape)


def _inside(keypoints: Any, size: tuple[int, int]) -> Any:
    """Whether points lie on a pixel of the image, bool (n, k)."""
    x, y = keypoints[..., 0], keypoints[..., 1]
    across = keras.ops.logical_and(x >= -0.5, x <= size[1] - 0.5)
    return keras.ops.logical_and(across, keras.ops.logical_and(y >= -0.5, y <= size[0] - 0.5))


def _toned(images: Any, draws: Draws, turn: Turn) -> Any:
    transform, n = turn.transform, images.shape[0]
    assert isinstance(transform, Photometric)
    if not turn.most:
        return images
    if turn.most >= n:
        changed = transform.apply(images, draws.of(np.arange(n, dtype=np.int32)))
        return keras.ops.where(turn.on[:, None, None, None], changed, images)
    rows = first(turn.on, turn.most)
    before = keras.ops.take(images, rows, axis=0)
    changed = transform.apply(before, draws.of(rows))
    on = keras.ops.take(turn.on, rows)[:, None, None, None]
    changed = keras.ops.where(on, changed, before)
    return keras.ops.scatter_update(images, rows[:, None], changed)
