"""Signal handlers that can take locks."""

import signal
import threading
from collections.abc import Iterator

import pytest

from service.kit.signals import in_thread
from tests.support.waiting import CEILING_SECONDS


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    previous = signal.signal(signal.SIGUSR1, in_thread(event.set))
    yield event
    signal.signal(signal.SIGUSR1, previous)


def test_a_signal_may_interrupt_a_holder_of_the_lock(stop: threading.Event) -> None:
    with stop._cond:  # type: ignore[attr-defined]  # as `stop.wait()` and another signal's `stop.set()` do
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert not stop.is_set()
    assert stop.wait(CEILING_SECONDS)
