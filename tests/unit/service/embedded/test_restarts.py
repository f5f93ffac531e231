"""Back-off of restarts, on a clock of the test's own; what is left of a crashed process; repeated requests to stop."""

import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.embedded.processes import Child
from service.embedded.restarts import Restarts
from service.embedded.stack import Stack
from service.embedded.stop_request import StopRequest
from tests.support.embedded_stack import is_alive
from tests.support.waiting import eventually


def crashed(pid: int, name: str = "worker") -> Child:
    process: Any = SimpleNamespace(pid=pid, returncode=-9)
    return Child(name, process, Path("worker.log"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def seconds_until_due(restarts: Restarts, clock: Clock, child: Child) -> float:
    began = clock.now
    while not restarts.is_due(child):
        clock.now += 0.5
    return clock.now - began


def test_each_crash_in_a_row_waits_twice_as_long_up_to_a_minute() -> None:
    said: list[str] = []
    clock = Clock()
    restarts = Restarts(said.append, clock)
    assert [seconds_until_due(restarts, clock, crashed(pid)) for pid in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(said) == 8, "each restart is announced once"
    assert said[0] == "worker was killed by SIGKILL; it is started again in 1 s, and its log is kept in worker.log.1"
    assert "crash 8 in a row; it is started again in 60 s" in said[-1]


def test_a_process_that_lived_long_begins_with_a_second_again() -> None:
    clock = Clock()
    restarts = Restarts(lambda _: None, clock)
    assert [seconds_until_due(restarts, clock, crashed(pid)) for pid in (1, 2)] == [1, 2]
    clock.now += 299
    assert seconds_until_due(restarts, clock, crashed(3)) == 4
    clock.now += 300
    assert seconds_until_due(restarts, clock, crashed(4)) == 1


def test_processes_are_counted_separately() -> None:
    clock = Clock()
    restarts = Restarts(lambda _: None, clock)
    assert seconds_until_due(restarts, clock, crashed(1)) == 1
    assert seconds_until_due(restarts, clock, crashed(2, "worker-2")) == 1


def test_the_group_of_a_crashed_process_is_killed_at_once_and_never_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stack = Stack(tmp_path, listener, [])
        worker = Child.start("worker", ["sh", "-c", "sleep 1000 & echo $!; exit 1"], tmp_path)
        stack.children["worker"] = worker
        eventually(lambda: worker.exit_status is not None)
        left_over = int(worker.log.read_text())
        assert is_alive(left_over)
        stack.wait_for_stop(lambda: not is_alive(left_over))  # a restart, which is due later, would raise KeyError
        assert stack.children == {}, "later, its process id may be another's"


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_a_repeated_request_does_not_interrupt_the_stop(first: signal.Signals, second: signal.Signals) -> None:
    with StopRequest() as stop:
        signal.raise_signal(first)
        signal.raise_signal(second)
        assert stop.asked()


def test_a_second_ctrl_c_interrupts_the_stop() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
