"""Back-off of restarts, on a clock of the test's own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from service.embedded.processes import Child
from service.embedded.restarts import Restarts


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
