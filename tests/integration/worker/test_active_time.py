"""Times of jobs over several attempts: waits and pauses do not count."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update

from service.contract.devices import DeviceClass
from service.contract.states import JobState, Stage
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.jobs.attempts import repository, transitions
from service.jobs.attempts.repository import Claim
from service.jobs.schemas import JobView
from tests.support.job_rows import insert_job, job_row


def claimed(database: Database) -> Claim:
    with database.begin() as session:
        found = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=60)
    assert found is not None
    return found


def write(database: Database, statement: Callable[..., Any], claim: Claim, *args: Any, **kwargs: Any) -> None:
    with database.begin() as session:
        statement(session, claim.job_id, claim.fence, *args, **kwargs)


def age(database: Database, job_id: UUID, seconds: float) -> None:
    """Move all that has happened to the job into the past, as if these seconds had passed."""
    past = timedelta(seconds=seconds)
    with database.begin() as session:
        session.execute(update(JobEvent).where(JobEvent.job_id == job_id).values(created_at=JobEvent.created_at - past))
        ended = {"started_at": Attempt.started_at - past, "ended_at": Attempt.ended_at - past}
        session.execute(update(Attempt).where(Attempt.job_id == job_id).values(ended))
        started = {"started_at": Job.started_at - past, "attempt_started_at": Job.attempt_started_at - past}
        session.execute(update(Job).where(Job.id == job_id).values(started))


def paused_after(database: Database, loading: float, pruning: float) -> UUID:
    """A job paused after an attempt that loaded and pruned for these seconds, an hour ago."""
    job_id = insert_job(database)
    claim = claimed(database)
    write(database, repository.stage_started, claim, Stage.LOADING)
    age(database, job_id, loading)
    write(database, repository.stage_started, claim, Stage.PRUNING)
    age(database, job_id, pruning)
    set_state(database, job_id, JobState.PAUSING)
    write(database, transitions.pause, claim)
    age(database, job_id, 3600)
    return job_id


def set_state(database: Database, job_id: UUID, state: JobState) -> None:
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=state))


def resumed(database: Database, job_id: UUID) -> Claim:
    set_state(database, job_id, JobState.QUEUED)
    return claimed(database)


def is_about(seconds: float | None, expected: float, began: float) -> bool:
    """Whether it is the expected time and at most what has really passed since `began` on the monotonic clock."""
    return seconds is not None and expected <= seconds <= expected + time.monotonic() - began


def test_the_time_of_a_paused_job_stands_still(database: Database) -> None:
    began = time.monotonic()
    job = job_row(database, paused_after(database, loading=5, pruning=100))
    view = JobView.of(job)
    assert is_about(view.active_seconds, 105, began)
    assert view.attempt_started_at is None


def test_the_attempts_of_a_job_add_up(database: Database) -> None:
    began = time.monotonic()
    job_id = paused_after(database, loading=5, pruning=100)
    claim = resumed(database, job_id)
    assert job_row(database, job_id).attempt_started_at is not None
    age(database, job_id, 40)
    write(database, transitions.succeed, claim, metrics={}, artifact_prefix="jobs/x/")
    job = job_row(database, job_id)
    assert is_about(job.active_seconds, 145, began)
    assert (job.finished_at - job.started_at).total_seconds() > 3600  # type: ignore[operator]


def test_a_later_attempt_knows_the_stage_times_of_the_earlier_ones(database: Database) -> None:
    began = time.monotonic()
    job_id = paused_after(database, loading=5, pruning=100)
    claim = resumed(database, job_id)
    write(database, repository.stage_started, claim, Stage.LOADING)
    age(database, job_id, 7)
    with database.begin() as session:
        found = repository.earlier_stage_seconds(session, claim)
    assert set(found) == {Stage.LOADING, Stage.PRUNING}
    assert is_about(found[Stage.LOADING], 5, began)
    assert is_about(found[Stage.PRUNING], 100, began)


def test_a_job_of_an_earlier_version_has_the_time_from_start_to_end(database: Database) -> None:
    job_id = paused_after(database, loading=5, pruning=100)
    as_before = {"active_seconds": None, "state": JobState.CANCELLED, "finished_at": Job.started_at + timedelta(seconds=50)}
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(as_before))
    assert JobView.of(job_row(database, job_id)).active_seconds == 50
