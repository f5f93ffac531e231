"""How long a stage is told to go on, from what has been counted of it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from service.contract.states import Stage
from service.database.engine import Database
from service.jobs.attempts import repository
from service.jobs.attempts.repository import Claim
from worker.process.peak_memory import PeakMemory
from worker.run import progress as reporter
from worker.run.lease import Lease
from worker.run.progress import Reporter


class Clock:
    """Goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Told(Reporter):
    """Writes nothing down, and keeps the reports that would be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lease = SimpleNamespace(check=lambda: None)
        claim = SimpleNamespace(job_id=uuid4(), fence=1)
        super().__init__(cast("Database", None), cast("Claim", claim), cast("Lease", lease), PeakMemory.start("cpu"))
        self.etas: list[float | None] = []
        self.reports: list[dict[str, Any]] = []
        monkeypatch.setattr(repository, "progress", lambda *about: self._keep(about[-1]))
        monkeypatch.setattr(repository, "block_pruned", lambda *_, report, **__: self._keep(report))
        monkeypatch.setattr(repository, "stage_started", lambda *_: None)

    def write(self, statement: Callable[[Session], None]) -> None:
        statement(cast("Session", None))

    def _keep(self, report: dict[str, Any]) -> None:
        self.etas.append(report["eta_seconds"])
        self.reports.append(report)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reporter, "time", clock)
    return clock


def test_the_rest_is_estimated_at_the_rate_so_far(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.start_stage(Stage.EVALUATING)
    told.progress(0, 4, "blocks")
    clock.now += 10
    told.progress(1, 4, "blocks")
    assert told.etas == [None, 30.0]


def test_a_new_unit_restarts_the_estimate(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.start_stage(Stage.EVALUATING)
    clock.now += 500
    told.progress(4, 4, "blocks")
    told.progress(0, 3, "measurements")
    clock.now += 10
    told.progress(1, 3, "measurements")
    assert told.etas == [0.0, None, 20.0]


def test_blocks_of_an_earlier_attempt_do_not_count_in_the_rate(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.start_stage(Stage.PRUNING)
    told.block_finished(0, 4, (), resumed=True)
    told.block_finished(1, 4, (), resumed=True)
    clock.now += 7
    told.block_finished(2, 4, ())
    assert told.etas == [None, None, 7.0]


def test_the_first_bytes_of_many_give_no_estimate(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.start_stage(Stage.PUBLISHING)
    clock.now += 2
    told.progress(1_600, 542_000_000, "bytes")
    clock.now += 2
    told.progress(271_000_000, 542_000_000, "bytes")
    assert told.etas == [None, 4.0]


def test_matrices_within_a_block_are_reported_at_most_once_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.start_stage(Stage.PRUNING)
    told.block_started(0, 2)
    for _ in range(7):
        clock.now += 0.4
        told.matrix_pruned(7)
    counts = [report.get("matrices_done") for report in told.reports]
    assert counts == [None, 3, 6]
    assert [(report["done"], report["total"], report["unit"]) for report in told.reports] == [(0, 2, "blocks")] * 3


def test_blocks_report_the_mean_time_of_those_that_this_attempt_has_pruned(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.start_stage(Stage.PRUNING)
    clock.now += 50  # before the first block
    for block, (seconds, resumed) in enumerate(((1, True), (4, False), (6, False))):
        told.block_started(block, 4)
        clock.now += seconds
        told.block_finished(block, 4, (), resumed=resumed)
    finished = [(report.get("own_blocks"), report.get("block_seconds")) for report in told.reports[1:]]
    assert finished == [(None, None), (1, 4.0), (2, 5.0)]
