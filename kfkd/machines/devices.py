"""Which devices train a model together: one, several of this machine, or those of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfkd.errors import KfkdError
from kfkd.lazy import keras
from kfkd.machines.cluster import Machines

if TYPE_CHECKING:
    from keras import Model


@dataclass(frozen=True)
class Devices:
    """What trains one model.

    Args:
        names: the devices as the backend calls them, of all machines; () = whichever it takes.
        machines: where they are.
    """

    names: tuple[str, ...] = ()
    machines: Machines = field(default_factory=Machines)

    @property
    def count(self) -> int:
        """How many share a batch."""
        return max(1, len(self.names))

    @property
    def mirrored(self) -> bool:
        """Whether TensorFlow shares batches out among them."""
        return self.count > 1 and keras.config.backend() == "tensorflow"

    def told(self) -> str:
        """The devices in words, to follow others; "" of one."""
        if self.count == 1:
            return ""
        where = f" of {self.machines.count} machines" if self.machines.together else ""
        return f", {self.count} devices{where}"

    def facts(self) -> dict[str, Any]:
        """What run.json keeps of them; nothing of one."""
        if self.count == 1:
            return {}
        kind = self.names[0].partition(":")[0].lower()
        return {"devices": {"count": self.count, "kind": kind, "machines": self.machines.count}}

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Inside the block, a model is made on all devices, and they share its batches."""
        if self.count == 1:
            yield
        elif self.mirrored:
            from kfkd.pipelines.mirroring import mirrored

            with mirrored(self.names):
                yield
        else:
            with _parallel(self.names).scope():
                yield

    def check_batch(self, batch_size: int) -> None:
        """Refuses a batch that they cannot share evenly.

        Raises:
            KfkdError: naming sizes that they can.
        """
        if over := batch_size % self.count:
            fits = [n for n in (batch_size - over, batch_size - over + self.count) if n]
            raise KfkdError(
                f"{self.count} devices want a batch that they can share evenly, such as "
                f"{' or '.join(map(str, fits))}. Received: batch_size={batch_size}"
            )

    def loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """A loss as Keras wants it here: under TensorFlow each device's share of it."""
        if not self.mirrored:
            return loss
        from kfkd.pipelines.mirroring import whole_batch

        return whole_batch(loss, self.count)

    @contextmanager
    def joint_statistics(self, model: Model) -> Iterator[None]:
        """Inside the block, batch normalisation sees whole batches; under JAX it always does."""
        if not self.mirrored:
            yield
            return
        from kfkd.pipelines.mirroring import joint_statistics

        with joint_statistics(model):
            yield

    def weight(self, rows: int, batch_size: int) -> float:
        """By what the mean loss that Keras tells of validation is to be multiplied.

        Rows that only fill a batch up weigh nothing, but Keras counts them; and where rows have
        weights, it divides by the number of TensorFlow's devices once more.

        Args:
            rows: to measure on.
            batch_size: images a step.
        """
        if self.count == 1 or not rows:
            return 1.0
        from kfkd.pipelines.sharing import filled_batches

        counted = sum(len(part) for part, _ in filled_batches(rows, batch_size, self.count))
        return counted / rows * (self.count if self.mirrored else 1)


def check_devices(asked: int | str | None, several: bool) -> None:
    """Refuses what no machine could mean by its devices.

    Args:
        asked: how many, "all", or None: one, and of several machines all.
        several: whether several machines train together.

    Raises:
        KfkdError: naming what was wanted.
    """
    whole = isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1
    if not (whole or asked in (None, "all")):
        raise KfkdError(f'devices wants a whole number from 1, or "all". Received: {asked!r}')
    if several and whole:
        raise KfkdError(f"several machines train on all of their devices. Received: {asked}")


def devices_for(asked: int | str | None, machines: Machines) -> Devices:
    """The devices that were asked for.

    Args:
        asked: as for `check_devices`.
        machines: joined ones.

    Raises:
        KfkdError: when there are not so many.
    """
    if machines.together:
        return Devices(_names(), machines)
    if asked in (None, 1):
        return Devices()
    names = _names()
    if isinstance(asked, int) and asked > len(names):
        raise KfkdError(
            f"devices wants no more than {keras.config.backend()} sees, {len(names)} "
            f"({', '.join(names)}). Received: devices={asked}"
        )
    names = names[:asked] if isinstance(asked, int) else names
    return Devices(names if len(names) > 1 else ())


def _names() -> tuple[str, ...]:
    if keras.config.backend() == "tensorflow":
        from kfkd.pipelines.mirroring import device_names

        return tuple(device_names())
    return tuple(keras.distribution.list_devices())


def _parallel(names: tuple[str, ...]) -> Any:
    """Keras' data parallelism; each machine feeds its own rows, so Keras must not share them."""
    return keras.distribution.DataParallel(devices=list(names), auto_shard_dataset=False)
