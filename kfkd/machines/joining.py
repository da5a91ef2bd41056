"""Joining other machines at the start of a training, and leaving them at its end."""

from __future__ import annotations

import inspect
import json
import os
import sys
from typing import Any

from kfkd.errors import KfkdError
from kfkd.lazy import keras
from kfkd.machines.cluster import Machines
from kfkd.machines.last_words import last_words
from kfkd.progress import say

NO_WORKERS = (
    "TensorFlow's MultiWorkerMirroredStrategy fails in Keras 3's fit (keras-team/keras#20585): "
    "for several machines set KERAS_BACKEND=jax, see docs/distributed.md"
)

_JOINING = 300
"""Seconds that a machine waits for the others at the start."""

_SILENCE = 60
"""Seconds after which a machine that is not heard of counts as lost."""


def machines_asked(
    machines: str | None = None, machine: int | None = None, coordinator: str | None = None
) -> Machines | None:
    """The machines that flags name; the environment stands in for those that are absent.

    Args:
        machines: how many, or "auto"; else $KFKD_MACHINES.
        machine: which one this is; else $KFKD_MACHINE.
        coordinator: "HOST:PORT" of machine 0; else $KFKD_COORDINATOR.

    Returns:
        None where no machines are asked for.

    Raises:
        KfkdError: when a number is none.
    """
    count = os.environ.get("KFKD_MACHINES") if machines is None else machines
    if not count:
        if (machine, coordinator) != (None, None):
            raise KfkdError("--machine and --coordinator want --machines")
        return None
    if count == "auto":
        return Machines(None, None, None)
    index = os.environ.get("KFKD_MACHINE") if machine is None else str(machine)
    if not count.isdigit() or not (index or "").isdigit():
        raise KfkdError(
            "machines want how many there are (or auto), and which of them this is, from 0. "
            f"Received: {count}, {index}"
        )
    return Machines(int(count), int(index or 0), coordinator or os.environ.get("KFKD_COORDINATOR"))


def join(machines: Machines | str | None, quiet: bool = False) -> Machines:
    """Joins the other machines, which must happen before anything else of JAX is used.

    Args:
        machines: `Machines`, "auto" (what $KFKD_MACHINES and so on or the scheduler say) or None.
        quiet: no progress.

    Returns:
        The machines, joined.

    Raises:
        KfkdError: when they make no sense, or the backend or this process cannot join others.
    """
    if machines == "auto":
        machines = machines_asked() or Machines(None, None, None)
    asked = Machines() if machines is None else machines
    if not isinstance(asked, Machines):
        raise KfkdError(f'machines want kfkd.Machines or "auto". Received: {machines!r}')
    jax_runs = keras.config.backend() == "jax"
    if not jax_runs and (asked.together or _worker_of_many()):
        raise KfkdError(NO_WORKERS)
    if not asked.together:
        return Machines()
    _check(asked)
    import jax

    if not jax.distributed.is_initialized():
        _initialize(asked, quiet)
    found = Machines(jax.process_count(), jax.process_index(), asked.coordinator)
    if asked.count is not None and found != asked:
        raise KfkdError(
            f"this process is machine {found.index} of {found.count} already. "
            f"Received: {asked.index} of {asked.count}"
        )
    return found if found.together else Machines()


def leave(code: int) -> int:
    """Ends a process that had joined others: at its usual end JAX would wait for the lost ones.

    Args:
        code: the exit code; given back where there are no others.
    """
    if _joined():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def is_first() -> bool:
    """Whether this process is alone, or machine 0 of several."""
    return not _joined() or sys.modules["jax"].process_index() == 0


def _joined() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and bool(jax.distributed.is_initialized())


def _check(asked: Machines) -> None:
    count, index, place = asked.count, asked.index, asked.coordinator
    if count is None:
        return
    if index is None or not 0 <= index < count:
        raise KfkdError(f"machine wants a number from 0 to {count - 1}. Received: {index!r}")
    host, _, port = (place or "").rpartition(":")
    if not host or not port.isdigit():
        raise KfkdError(f"coordinator wants machine 0's HOST:PORT. Received: {place!r}")


def _initialize(asked: Machines, quiet: bool) -> None:
    import jax

    where = f" at {asked.coordinator}" if asked.coordinator else ""
    say(f"joining the other machines{where}, {_JOINING} s at the most", quiet)
    settings: dict[str, Any] = {
        "initialization_timeout": _JOINING,
        "heartbeat_timeout_seconds": _SILENCE,
        "shutdown_timeout_seconds": _SILENCE,
    }
    if asked.count is not None:
        settings |= {
            "coordinator_address": asked.coordinator,
            "num_processes": asked.count,
            "process_id": asked.index,
            # Else JAX gives a process of Slurm one GPU, whatever was asked for.
            "cluster_detection_method": "deactivate",
        }
    known = inspect.signature(jax.distributed.initialize).parameters
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    nobody = f"kfkd: not all machines came together{where} within {_JOINING} s"
    try:
        with last_words(nobody):  # JAX aborts
            jax.distributed.initialize(**{k: v for k, v in settings.items() if k in known})
    except (RuntimeError, ValueError) as error:
        if asked.count is None and "be defined" in str(error):
            raise KfkdError(_nobody_says()) from error
        raise KfkdError(f"this machine cannot join the others{where}: {error}") from error


_SLURMS = tuple(
    f"SLURM_{name}" for name in ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")
)


def _nobody_says() -> str:
    """Why "auto" comes to nothing, and what to do."""
    absent = [name for name in _SLURMS if name not in os.environ]
    if _SLURMS[0] in os.environ and absent:
        found = f"Slurm's {_SLURMS[0]} is there, but not {', '.join(absent)}: start it with srun"
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        found = 'this is Kubernetes, of which JAX learns by: pip install "jax[k8s]"'
    else:
        found = "nothing here is of Slurm, Open MPI, Kubernetes or a TPU's host"
    return (
        f"machines auto cannot tell how many machines there are: {found}; or name them with "
        "--machines N --machine I --coordinator HOST:PORT"
    )


def _worker_of_many() -> bool:
    """Whether TensorFlow's own variable says that this is one of several workers."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}")["cluster"]
        return sum(len(cluster.get(role, ())) for role in ("chief", "master", "worker")) > 1
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
