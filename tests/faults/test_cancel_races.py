"""Cancelling, in every state and at every moment: a job ends once, in one way."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from service.contract.devices import DeviceClass
from service.contract.failures import Failure, FailureCode
from service.contract.states import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.dispatcher.expiry import expire_leases
from service.errors import Conflict
from service.jobs import lifecycle
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.jobs.attempts.repository import Claim, StaleFence
from service.settings import Settings
from tests.support.job_rows import attempts_of, event_types, insert_job, job_row
from tests.support.long_jobs import insert_endless_job, save_slow_model, wait_until_it_succeeds
from tests.support.size import sized
from tests.support.threads import dispatcher_threads, worker_thread
from tests.support.waiting import CEILING_SECONDS, eventually

RACES = sized(60, 200)
FAILURE = Failure(code=FailureCode.MODEL_NOT_FOUND, detail="a test", retryable=False)
FINAL = {str(state) for state in TERMINAL_STATES}


def claimed(database: Database, lease_seconds: float = 60) -> Claim:
    with database.begin() as session:
        found = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=lease_seconds)
    assert found is not None
    return found


def cancel(database: Database, job_id: UUID) -> None:
    """A caller's cancel, which may come too late."""
    try:
        lifecycle.cancel(database, job_id, tenant="test")
    except Conflict:
        return


def end(database: Database, claim: Claim, how: Callable[..., None]) -> None:
    """A worker's last word; as the worker does, it gives in to what it finds."""
    try:
        with database.begin() as session:
            how(session, claim.job_id, claim.fence)
    except StaleFence:
        return


def at_once(*acts: Callable[[], object]) -> None:
    """All of them, as nearly at the same time as threads can be."""
    barrier = threading.Barrier(len(acts))
    errors: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            barrier.wait()
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(CEILING_SECONDS)
    assert errors == []


def assert_ended_once(database: Database, job_id: UUID) -> str:
    job = job_row(database, job_id)
    finals = [kind for kind in event_types(database, job_id) if kind in FINAL]
    assert finals == [job.state], finals
    assert job.finished_at is not None
    assert [attempt for attempt in attempts_of(database, job_id) if attempt.ended_at is None] == []
    return job.state


ENDS: dict[str, Callable[..., None]] = {
    "succeed": partial(transitions.succeed, metrics={}, artifact_prefix="jobs/x/1"),
    "fail": partial(transitions.fail, failure=FAILURE, retry_seconds=0),
    "cancel": transitions.cancel,
}


def test_a_cancel_racing_with_the_end_gives_exactly_one_end(database: Database) -> None:
    ended = []
    for number in range(RACES):
        insert_job(database, send=False)
        claim = claimed(database)
        how = ENDS[("succeed", "fail")[number % 2]]
        at_once(partial(cancel, database, claim.job_id), partial(end, database, claim, how))
        if job_row(database, claim.job_id).state == JobState.CANCELLING:
            end(database, claim, transitions.cancel)  # what the worker does once its heartbeat has told it
        ended.append(assert_ended_once(database, claim.job_id))
    assert len(ended) == RACES
    assert len(set(ended)) > 1, "both sides have to win sometimes, or nothing raced"


@pytest.mark.parametrize("rival", ["a claim", "a pause", "a resume", "a lost lease"])
def test_a_cancel_racing_with_other_changes_wins(database: Database, rival: str) -> None:
    for _ in range(RACES // 10):
        job_id = insert_job(database, send=False)
        if rival == "a lost lease":
            claimed(database, lease_seconds=-1)
        if rival == "a resume":
            lifecycle.pause(database, job_id, tenant="test")
        acts: dict[str, Callable[[], object]] = {
            "a claim": partial(_claim_if_there_is_one, database),
            "a pause": partial(_change, lifecycle.pause, database, job_id),
            "a resume": partial(_change, lifecycle.resume, database, job_id),
            "a lost lease": partial(expire_leases, database),
        }
        at_once(partial(cancel, database, job_id), acts[rival])
        job = job_row(database, job_id)
        if job.state == JobState.CANCELLING:
            expire_leases(database)
            (attempt,) = attempts_of(database, job_id)
            if attempt.ended_at is None:
                end(database, Claim(job_id, "acme", 1, job.fence, {}, None), transitions.cancel)
        assert assert_ended_once(database, job_id) == JobState.CANCELLED


def _claim_if_there_is_one(database: Database) -> None:
    with database.begin() as session:
        repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=60)


def _change(change: Callable[..., object], database: Database, job_id: UUID) -> None:
    try:
        change(database, job_id, tenant="test")
    except Conflict:
        return


@pytest.mark.parametrize("stage", ["queued", "resolving", "loading", "pruning", "pausing", "paused"])
def test_a_job_is_cancelled_in_every_state_and_its_worker_lives(
    settings: Settings, database: Database, tmp_path: Path, stage: str
) -> None:
    save_slow_model(settings)
    with dispatcher_threads(settings), worker_thread(settings):
        if stage == "queued":
            job_id = insert_endless_job(settings, database, device="gpu")
        else:
            job_id = insert_endless_job(settings, database)
            wanted = "pruning" if stage in ("pausing", "paused") else stage
            eventually(lambda: job_row(database, job_id).stage in (wanted, "pruning"))
        if stage in ("pausing", "paused"):
            lifecycle.pause(database, job_id, tenant="test")
        if stage == "paused":
            eventually(lambda: job_row(database, job_id).state == JobState.PAUSED)
        lifecycle.cancel(database, job_id, tenant="test")
        eventually(lambda: job_row(database, job_id).finished_at)
        assert assert_ended_once(database, job_id) == JobState.CANCELLED
        following = insert_job(database, model={"source": "local", "id": "slow"})
        wait_until_it_succeeds(database, following)
