"""What a model's doubt is worth: how far a point may be off, and how probably it is found.

A model's doubt ranks the points of one keypoint, but its scale is nobody's: maps are wide for one
keypoint and narrow for another, whatever their errors. So for each keypoint the usual doubt is set
to the usual error, both measured on faces that the model did not learn from, and one power says how
much of a doubt's ups and downs the error follows: 0 = nothing of it, 1 = in proportion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from kfkd.errors import KfkdError

PARTS = 48
"""A point is found when it lies within this part of the image's width: 2 of Kaggle's 96 pixels."""

STEEPEST, LEAST = 4.0, 1e-3
"""The highest power, and the least doubt, in pixels."""


class Level(NamedTuple):
    """Of one keypoint, in pixels.

    Args:
        doubt: the median of the model's doubt.
        error: standard deviation of the point along an axis where the doubt is that.
    """

    doubt: float
    error: float


@dataclass(frozen=True)
class Calibration:
    """From a model's doubt to the standard deviation of its points.

    Args:
        within: how near to its label a point is called found, in pixels.
        power: how much the error follows the doubt, 0 to 4.
        levels: for "all", and for models that know label sources for each of them, a level a
            keypoint; None = fewer than 20 were labelled.
        images: how many it was fitted on.
    """

    within: float
    power: float
    levels: Mapping[str, tuple[Level | None, ...]]
    images: int = 0

    def sigma(self, doubt: np.ndarray, source: np.ndarray | str = "full") -> np.ndarray:
        """How far each point may be off.

        Args:
            doubt: (n, k) in pixels, NaN = unknown, of `Run.predict_with_doubt`.
            source: as which label source the model answered, one for all or (n,).

        Returns:
            float64 (n, k), the standard deviation along an axis in pixels; NaN where unknown.
        """
        levels = np.full((*np.shape(doubt), 2), np.nan)
        sources = np.broadcast_to(np.asarray(source), len(doubt))
        for name in np.unique(sources) if len(doubt) else ():
            levels[sources == name] = self._levels(str(name))
        usual, error = levels[..., 0], levels[..., 1]
        return error * (np.maximum(doubt, LEAST) / usual) ** self.power

    def confidence(self, doubt: np.ndarray, source: np.ndarray | str = "full") -> np.ndarray:
        """How probably each point lies within `within` pixels of where a person would put it.

        It is 1 − exp(−within² / 2σ²), for errors of the standard deviation σ = `sigma` along each
        axis.

        Args:
            doubt: as for `sigma`, as is `source`.
            source: as which label source the model answered.

        Returns:
            float32 (n, k) in (0, 1); NaN where unknown.
        """
        found = 1 - np.exp(-0.5 * np.square(self.within / self.sigma(doubt, source)))
        return np.clip(found, 1e-4, 1 - 1e-4).astype(np.float32)

    def config(self) -> dict[str, Any]:
        """The calibration as plain data, for `calibration_from`."""
        levels = {
            name: [None if level is None else [round(v, 5) for v in level] for level in row]
            for name, row in self.levels.items()
        }
        numbers = {"within": self.within, "power": round(self.power, 5)}
        return {**numbers, "levels": levels, "images": self.images}

    def _levels(self, source: str) -> np.ndarray:
        """(k, 2): a source's own levels, where it has them, else those of all."""
        every = self.levels["all"]
        # Faces of other sources are answered as the full one.
        chosen = self.levels.get(source, self.levels.get("full", every))
        pairs = zip(chosen, every, strict=True)
        return np.array([own or other or (np.nan, np.nan) for own, other in pairs], np.float64)


def calibration_from(record: Any, keypoints: int) -> Calibration:
    """The calibration that `Calibration.config` described.

    Args:
        record: out of a JSON file, so it may hold anything.
        keypoints: how many levels it must have.

    Raises:
        KfkdError: when it describes none.
    """
    try:
        levels = {
            str(name): tuple(None if pair is None else Level(*_numbers(pair)) for pair in row)
            for name, row in record["levels"].items()
        }
        within, power = float(record["within"]), float(record["power"])
        if not 0 < within < inf or not 0 <= power <= STEEPEST:
            raise ValueError(f"within {within}, power {power}")
        if "all" not in levels or any(len(row) != keypoints for row in levels.values()):
            raise ValueError(f"levels want {keypoints} keypoints, and all")
        return Calibration(within, power, levels, int(record.get("images", 0)))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise KfkdError(f"no calibration of doubt: {error}. Received: {record!r:.200}") from error


def _numbers(pair: Any) -> tuple[float, float]:
    first, second = map(float, pair)
    if not 0 < first < inf or not 0 < second < inf:
        raise ValueError(f"a level wants numbers above 0, has {pair!r:.100}")
    return first, second
