"""Estimates and times on the page of one job."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.contract.states import EventType, JobState, Stage
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent
from tests.support.api_server import insert_job

NOW = datetime.now(UTC)
PROGRESS = {"done": 12, "total": 30, "unit": "blocks", "eta_seconds": 1860.0}


def inserted(database: Database, **fields: Any) -> UUID:
    running: dict[str, Any] = {"stage": "pruning", "progress": PROGRESS, "started_at": NOW - timedelta(hours=9)}
    return insert_job(database, **running | fields)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
def test_an_ended_job_has_no_progress_bar_and_no_time_left(visitor: httpx.Client, database: Database, state: JobState) -> None:
    job_id = inserted(database, state=state, finished_at=NOW, active_seconds=130.0)
    page = visitor.get(f"/jobs/{job_id}").text
    assert "<progress" not in page
    assert "12/30" not in page
    assert "31 min" not in page
    listed = visitor.get("/jobs").text
    assert "<progress" not in listed
    assert "2 min 10 s" in listed


def test_a_running_job_shows_its_blocks_in_the_title_and_one_estimate(visitor: httpx.Client, database: Database) -> None:
    page = visitor.get(f"/jobs/{inserted(database, state=JobState.RUNNING)}").text
    assert "<title>12/30 " in page
    assert "Estimate after 2 blocks" in page
    assert "31 min" not in page  # of the stage


def test_the_time_of_a_paused_job_does_not_run_on(visitor: httpx.Client, database: Database) -> None:
    inserted(database, state=JobState.PAUSED, stage=None, progress=None, active_seconds=130.0)
    page = visitor.get("/").text
    assert "2 min 10 s" in page
    assert "9 h" not in page


def test_the_stages_of_all_attempts_are_summed(visitor: httpx.Client, database: Database) -> None:
    job_id = inserted(database, state=JobState.RUNNING, attempts_started=2, event_seq=9)
    steps = [(EventType.ATTEMPT_STARTED, {"attempt": 1}, 1000), (EventType.STAGE_STARTED, {"stage": Stage.PRUNING}, 990)]
    steps += [(EventType.ATTEMPT_ENDED, {"attempt": 1}, 890), (EventType.ATTEMPT_STARTED, {"attempt": 2}, 60)]
    steps += [(EventType.STAGE_STARTED, {"stage": Stage.PRUNING}, 60), (EventType.STAGE_STARTED, {"stage": Stage.EVALUATING}, 10)]
    with database.begin() as session:
        for number, (start, end) in enumerate(((1000, 890), (60, None)), start=1):
            ended = None if end is None else NOW - timedelta(seconds=end)
            times = {"started_at": NOW - timedelta(seconds=start), "ended_at": ended, "lease_expires_at": NOW}
            session.add(Attempt(job_id=job_id, number=number, fence=number, worker="w", **times))
        for seq, (kind, data, ago) in enumerate(steps, start=2):
            session.add(JobEvent(job_id=job_id, seq=seq, type=kind, data=data, created_at=NOW - timedelta(seconds=ago)))
    page = visitor.get(f"/jobs/{job_id}").text
    assert "All attempts: pruning 2 min 30 s, evaluating " in page
