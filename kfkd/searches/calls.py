"""What passes between the chief of a search and its workers: calls, and signs of life."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from kfkd.searches.sharing import LOOK

BEAT = 10.0
"""Seconds between a worker's signs of life, and between its looks whether the search has ended."""


class Ended(Exception):
    """The search has ended, and with it the chief that a worker waits for."""


class Line:
    """A worker's calls to its chief, which do not outwait the search.

    The package waits an hour for a chief, also for one that has ended because others were faster.

    Args:
        stub: makes the calls: a method each.
        over: whether the search has ended, as far as its folder tells.
    """

    def __init__(self, stub: Any, over: Callable[[], bool]) -> None:
        self._stub, self._over = stub, over

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from grpc import FutureTimeoutError

        method = getattr(self._stub, name)

        def asked(request: Any, **settings: Any) -> Any:
            call = method.future(request, **settings)
            while True:
                try:
                    return call.result(BEAT)
                except FutureTimeoutError:
                    if self._over():
                        call.cancel()
                        raise Ended from None

        return asked


@contextmanager
def beating(sign: Callable[[], Any]) -> Iterator[None]:
    """Gives a sign of life now and then, from a thread, as long as the block lasts.

    Args:
        sign: gives one; what goes wrong with it is left to the next real question.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with suppress(Exception):
                sign()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def serve(oracle: Any, address: str) -> None:
    """Answers workers until the search is over and all of them know.

    The package's own server waits for lost workers without an end.

    Args:
        oracle: a `Shared` one.
        address: "HOST:PORT" to listen at.

    Raises:
        RuntimeError: when it cannot listen there.
        WriteError: when a worker's call could not write.
    """
    import grpc
    from keras_tuner.src import protos
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)
    if not server.add_insecure_port(address):
        raise RuntimeError(f"cannot bind {address}")
    server.start()
    try:
        while not oracle.over():
            time.sleep(LOOK)
    finally:
        server.stop(LOOK).wait()
