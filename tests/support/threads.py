"""Dispatcher and worker as threads of the test's own process, for tests that need what they do but not their processes.

They save the import of torch, which a worker's child repeats for every job. `tests/support/processes.py` starts real ones.
A worker's process is ended where its run does not react to a cancellation in time; that of the tests must not be.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

from service.dispatcher.loop import Dispatcher
from service.settings import Settings
from tests.support.waiting import CEILING_SECONDS
from worker.attempt.runner import work
from worker.run import lease

_IDLE_SECONDS = 0.05
_SWEEP_AFTER_SECONDS = 5.0


@contextmanager
def dispatcher_threads(settings: Settings, count: int = 1) -> Iterator[threading.Event]:
    """Run dispatchers until the context is left or the event is set.

    Their lease is only the time after which they sweep the files of an ended attempt.
    """
    stop = threading.Event()
    settings = settings.model_copy(update={"lease_seconds": _SWEEP_AFTER_SECONDS})
    with _running(*(lambda: Dispatcher(settings).run(stop) for _ in range(count)), stop=stop):
        yield stop


@contextmanager
def worker_thread(settings: Settings) -> Iterator[threading.Event]:
    """Run attempts one after another until the context is left or the event is set; the running one is then released."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            if not work(settings, stop):
                stop.wait(_IDLE_SECONDS)

    with _no_exit(), _running(loop, stop=stop):
        yield stop


@contextmanager
def attempt_thread(settings: Settings, stop: threading.Event | None = None) -> Iterator[None]:
    """Run one attempt beside the test; it has ended when the context is left."""
    with _no_exit(), _running(lambda: work(settings, stop or threading.Event())):
        yield


def _no_exit() -> AbstractContextManager[object]:
    return patch.object(lease, "REACTION_SECONDS", CEILING_SECONDS)


@contextmanager
def _running(*loops: Callable[[], object], stop: threading.Event | None = None) -> Iterator[None]:
    threads = [threading.Thread(target=loop) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        if stop:
            stop.set()
        for thread in threads:
            thread.join(CEILING_SECONDS)
            assert not thread.is_alive()
