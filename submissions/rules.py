"""Fitted ways to combine members: what is kept of a fit is numbers, and applied as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from kfkd.errors import KfkdError


class Rule(Protocol):
    """Combines the members of one source and block of keypoints."""

    kind: ClassVar[str]

    def predict(self, predicted: np.ndarray) -> np.ndarray:
        """(m, n, k, 2) → (n, k, 2), in pixels."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, by name."""


@dataclass(frozen=True)
class Weighted:
    """A weighted mean.

    Args:
        weights: float64 (m, k) from 0 up, adding up to 1 over the members.
    """

    weights: np.ndarray
    kind: ClassVar[str] = "weighted"

    def predict(self, predicted: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        return np.einsum("mk,mnkc->nkc", self.weights, predicted)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Rule`."""
        return {"weights": self.weights}


@dataclass(frozen=True)
class Middle:
    """The median of the members."""

    kind: ClassVar[str] = "median"

    def predict(self, predicted: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        return np.median(predicted, axis=0)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Rule`."""
        return {}


@dataclass(frozen=True)
class Linear:
    """Every coordinate from all coordinates of all members.

    Args:
        matrix: float64 (m · k · 2, k · 2).
        offset: float64 (k · 2,) in pixels.
    """

    matrix: np.ndarray
    offset: np.ndarray
    kind: ClassVar[str] = "linear"

    def predict(self, predicted: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        m, n, k, _ = predicted.shape
        flat = np.moveaxis(predicted, 0, 1).reshape(n, m * k * 2)
        return (flat @ self.matrix + self.offset).reshape(n, k, 2)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Rule`."""
        return {"matrix": self.matrix, "offset": self.offset}


def equal_weights(members: int, points: int) -> Weighted:
    """The plain mean.

    Args:
        members: how many there are.
        points: keypoints.
    """
    return Weighted(np.full((members, points), 1 / members))


_KINDS: Mapping[str, Any] = {kind.kind: kind for kind in (Weighted, Middle, Linear)}


def rule_from(kind: str, arrays: Mapping[str, np.ndarray]) -> Rule:
    """The rule that `arrays` were kept of.

    Raises:
        KfkdError: when there is no such kind, or the arrays are not its.
    """
    try:
        return _KINDS[kind](**arrays)
    except (KeyError, TypeError) as error:
        raise KfkdError(f"no way to combine members is kept as {kind!r}: {error}") from error
