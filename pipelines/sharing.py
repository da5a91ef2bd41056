"""Batches shared out among several devices: which rows are whose, and under JAX where they lie.

There every device has the whole set and works out its own rows of each batch, gathering,
augmentation and encoding included, by the same compiled functions as one device: what they compute
does not depend on how many there are. No row of a batch is worked out twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Sharing:
    """Devices that share every batch, each taking as many rows, in order.

    Args:
        mesh: of JAX, one axis, the devices of this process side by side.
    """

    mesh: Any

    @property
    def count(self) -> int:
        """How many devices there are."""
        return self.mesh.size

    @cached_property
    def rows(self) -> Any:
        """The layout of an array whose rows are shared out."""
        from jax.sharding import NamedSharding, PartitionSpec

        return NamedSharding(self.mesh, PartitionSpec(*self.mesh.axis_names))

    @cached_property
    def copies(self) -> Any:
        """The layout of an array that every device has whole."""
        from jax.sharding import NamedSharding, PartitionSpec

        return NamedSharding(self.mesh, PartitionSpec())

    def own(self, n: int) -> slice:
        """Which rows of a batch of `n` are those of this process's devices."""
        shares = self.rows.addressable_devices_indices_map((n,)).values()
        starts, stops, _ = zip(*(share[0].indices(n) for share in shares), strict=True)
        return slice(min(starts), max(stops))

    def put(self, array: np.ndarray, layout: Any) -> Any:
        """An array of the host as one of all devices; each process passes its own devices' on."""
        import jax

        return jax.make_array_from_callback(array.shape, layout, array.__getitem__)

    def joined(self, own: np.ndarray) -> Any:
        """A batch of which every process has its own rows, as one array of all devices."""
        import jax

        return jax.make_array_from_process_local_data(self.rows, own)

    def for_keras(self, batch: Any) -> Any:
        """A batch as Keras wants it: of each process the rows of its own devices, where they lie.

        Args:
            batch: a tuple of arrays in the layout `rows`.
        """
        import jax
        from jax.sharding import NamedSharding

        if jax.process_count() == 1:
            return batch
        local = NamedSharding(self.mesh.local_mesh, self.rows.spec)

        def own(array: Any) -> Any:
            part = self.own(len(array))
            shape = (part.stop - part.start, *array.shape[1:])
            pieces = [shard.data for shard in array.addressable_shards]
            return jax.make_array_from_single_device_arrays(shape, local, pieces)

        return tuple(map(own, batch))


def filled_batches(n: int, batch_size: int, devices: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to measure on, in batches that devices can share evenly.

    Args:
        n: rows.
        batch_size: of them a batch.
        devices: how many share it.

    Returns:
        Of each batch its rows, and their weights: 0 where row 0 only fills it up, else 1.
    """
    parts = [np.arange(first, min(first + batch_size, n)) for first in range(0, n, batch_size)]
    missing = [(0, -len(part) % devices) for part in parts]
    return [
        (np.pad(part, more), np.pad(np.ones(len(part), np.float32), more))
        for part, more in zip(parts, missing, strict=True)
    ]


def unlabelled(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Targets without a label where the weight is 0.

    Args:
        targets: (n, …).
        weights: (n,).
    """
    real = weights.reshape(-1, *[1] * (targets.ndim - 1)) > 0
    return np.where(real, targets, np.nan).astype(targets.dtype)


def sharing() -> Sharing | None:
    """The devices of the `keras.distribution` in whose scope this is called; None without one."""
    if keras.config.backend() != "jax" or (found := keras.distribution.distribution()) is None:
        return None
    return Sharing(found.device_mesh.backend_mesh)
