"""Several machines that train one model together, joined by `jax.distributed`.

Every machine runs the same command on the same data. Machine 0 alone touches the run folder; what
the others need of it, such as a checkpoint, it sends them. Where one is lost, all end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfkd.errors import KfkdError, RunError
from kfkd.machines.last_words import last_words


class LostMachine(RunError):
    """Another machine ended, or cannot be reached any more."""


@dataclass(frozen=True)
class Machines:
    """Processes that train one model together, and which of them this is.

    Args:
        count: how many; None = as Slurm, Open MPI, Kubernetes or a TPU's host says, see
            `jax.distributed.initialize`.
        index: this one, from 0; machine 0 writes the run folder.
        coordinator: "HOST:PORT" of machine 0, which the others can reach.

    Example:
        >>> Machines(2, 1, "10.0.0.1:7000").writes
        False
    """

    count: int | None = 1
    index: int | None = 0
    coordinator: str | None = None

    @property
    def together(self) -> bool:
        """Whether there are others."""
        return self.count != 1

    @property
    def writes(self) -> bool:
        """Whether this one writes the run folder."""
        return self.index == 0

    def told(self, make: Callable[[], Any]) -> Any:
        """What machine 0 makes, on every machine.

        Args:
            make: gives what JSON can carry; called on machine 0 alone.

        Raises:
            RunError: on all of them, where it failed on machine 0 by what a user can mend.
        """
        if not self.together:
            return make()
        if not self.writes:
            answer = json.loads(_sent(b""))
            if "error" in answer:
                raise RunError(f"machine 0: {answer['error']}")
            return answer["value"]
        try:
            value = make()
        except KfkdError as error:
            _sent(json.dumps({"error": str(error)}).encode())
            raise
        _sent(json.dumps({"value": value}).encode())
        return value

    def told_bytes(self, make: Callable[[], bytes]) -> bytes:
        """What machine 0 makes, as `told`, in bytes."""
        return _sent(make() if self.writes else b"")

    def agree(self, what: str, value: Any) -> None:
        """Makes sure that every machine was given the same.

        Args:
            what: its name.
            value: what JSON can carry.

        Raises:
            RunError: on all of them, naming the first that was not.
        """
        if not self.together:
            return
        from jax.experimental.multihost_utils import process_allgather

        text = json.dumps(value, sort_keys=True).encode()
        digests = process_allgather(np.frombuffer(hashlib.sha256(text).digest(), np.uint8))
        for index, digest in enumerate(digests):
            if not np.array_equal(digest, digests[0]):
                raise RunError(f"machine {index} was given other {what} than machine 0")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Says in one sentence, however this process ends, that the training can go on.

        Raises:
            LostMachine: when a step fails because another machine is gone.
        """
        if not self.together:
            yield
            return
        me = f"machine {self.index} of {self.count}"
        again = "start the same command on all machines again: it goes on from the last whole epoch"
        # JAX aborts a process whose work waits for a machine that is not heard of any more.
        with last_words(f"kfkd: {me} was killed, or lost another one; {again}"):
            try:
                yield
            except Exception as error:
                if isinstance(error, KfkdError) or not _is_loss(error):
                    raise
                lost = f"{me} lost another one, whose last lines say why; {again}"
                raise LostMachine(lost) from error


_LOSSES = ("gloo", "nccl", "unavailable", "deadline_exceeded", "coordination service", "socket")


def _is_loss(error: Exception) -> bool:
    """Whether JAX says that it cannot reach another process: it has no error of its own for it."""
    return any(word in str(error).lower() for word in _LOSSES)


def _sent(data: bytes) -> bytes:
    """What machine 0 sends."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    length = int(broadcast_one_to_all(np.array(len(data), np.int32)))
    padded = np.zeros(length, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    return np.asarray(broadcast_one_to_all(padded)).tobytes() if length else b""
