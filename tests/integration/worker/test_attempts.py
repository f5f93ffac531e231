"""The protocol of claims, leases and fences, on a real PostgreSQL."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from sqlalchemy import func, inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.contract.devices import DeviceClass
from service.contract.failures import Failure, FailureCode
from service.contract.states import TRANSITIONS, JobState, Stage, WorkerDirective
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job, Layer
from service.database.tables.outbox import OutboxMessage
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.jobs.attempts.repository import Claim, StaleFence
from service.settings import Settings
from tests.support.job_rows import attempts_of, event_types, events_of, insert_job, job_row
from tests.support.matrix_reports import matrix_report
from tests.support.waiting import CEILING_SECONDS
from worker.attempt import runner

RETRYABLE = Failure(code=FailureCode.INTERNAL, detail="a test", retryable=True)
FINAL = Failure(code=FailureCode.MODEL_NOT_FOUND, detail="a test", retryable=False)


MATRIX = matrix_report("model.layers.0.mlp.up_proj.weight", (8, 4), stops={"max_swaps": 8}, swaps=3, tokens=64)


def claim(database: Database, *, lease_seconds: float = 60, device: DeviceClass = DeviceClass.CPU) -> Claim | None:
    with database.begin() as session:
        return repository.claim_next(session, worker="test", device=device, lease_seconds=lease_seconds)


def claimed(database: Database, *, lease_seconds: float = 60) -> Claim:
    found = claim(database, lease_seconds=lease_seconds)
    assert found is not None
    return found


def write(database: Database, statement: Callable[..., Any], claim: Claim, *args: Any, **kwargs: Any) -> Any:
    with database.begin() as session:
        return statement(session, claim.job_id, claim.fence, *args, **kwargs)


def snapshot(database: Database, job_id: UUID) -> list[Any]:
    """All that is stored of a job: its row, attempts, events, layers and messages."""
    with database.begin() as session:
        rows = [session.get_one(Job, job_id), *session.scalars(select(Layer).order_by(Layer.position))]
        rows += [*session.scalars(select(Attempt).order_by(Attempt.number)), *session.scalars(select(OutboxMessage))]
        stored = [{column.key: getattr(row, column.key) for column in inspect(row).mapper.columns} for row in rows]
    return [*stored, event_types(database, job_id)]


def take_away(database: Database, claim: Claim) -> None:
    write(database, transitions.expire_lease, claim)


def test_concurrent_claims_start_one_attempt_each(database: Database) -> None:
    jobs = {insert_job(database) for _ in range(5)}
    with ThreadPoolExecutor(8) as pool:
        claims = [found for found in pool.map(lambda _: claim(database), range(24)) if found]
    assert sorted(found.job_id for found in claims) == sorted(jobs)
    for job_id in jobs:
        assert len(attempts_of(database, job_id)) == 1
        assert event_types(database, job_id) == ["created", "attempt_started"]


def test_a_briefly_locked_job_is_still_claimed(database: Database) -> None:
    job_id = insert_job(database)
    with ThreadPoolExecutor(1) as pool, database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(sent_at=func.now()))
        waiting = pool.submit(claimed, database)
        session.commit()
        assert waiting.result(timeout=CEILING_SECONDS).job_id == job_id


def test_the_job_with_the_highest_priority_is_claimed_first(database: Database) -> None:
    young_high = insert_job(database, priority=5)
    old_low = insert_job(database, priority=0, age_seconds=60)
    old_high = insert_job(database, priority=5, age_seconds=30)
    assert [claimed(database).job_id for _ in range(3)] == [old_high, young_high, old_low]


def test_a_claim_opens_an_attempt_and_sets_its_deadlines(database: Database) -> None:
    job_id = insert_job(database, run_deadline_seconds=100)
    found = claimed(database, lease_seconds=60)
    job, (attempt,) = job_row(database, job_id), attempts_of(database, job_id)
    assert (job.state, job.attempts_started, job.attempts_counted) == (JobState.RUNNING, 1, 1)
    assert job.started_at is not None
    assert job.run_deadline_at is not None
    assert (job.run_deadline_at - job.started_at).total_seconds() == pytest.approx(100)
    assert (attempt.number, attempt.fence, attempt.worker, attempt.ended_at) == (1, job.fence, "test", None)
    assert (attempt.lease_expires_at - attempt.started_at).total_seconds() == pytest.approx(60)
    assert found == Claim(job_id, "test", 1, job.fence, job.spec, None)


def test_a_heartbeat_renews_the_lease_and_returns_the_directive(database: Database) -> None:
    job_id = insert_job(database)
    found = claimed(database, lease_seconds=1)
    before = attempts_of(database, job_id)[0].lease_expires_at
    assert write(database, repository.heartbeat, found, 60) == WorkerDirective.CONTINUE
    assert attempts_of(database, job_id)[0].lease_expires_at > before
    set_state(database, job_id, JobState.CANCELLING)
    assert write(database, repository.heartbeat, found, 60) == WorkerDirective.CANCEL
    write(database, transitions.cancel, found)
    assert write(database, repository.heartbeat, found, 60) == WorkerDirective.ABANDON


def test_an_expired_lease_can_be_renewed_until_it_is_swept(database: Database) -> None:
    insert_job(database)
    found = claimed(database, lease_seconds=-1)
    assert write(database, repository.heartbeat, found, 60) == WorkerDirective.CONTINUE
    take_away(database, found)
    assert write(database, repository.heartbeat, found, 60) == WorkerDirective.ABANDON


STALE_WRITES: dict[str, Callable[..., Any]] = {
    "stage": partial(repository.stage_started, stage=Stage.PRUNING),
    "progress": partial(repository.progress, report={"done": 1, "total": 2, "unit": "blocks"}),
    "revision": partial(repository.model_resolved, revision="abc"),
    "block": partial(repository.block_pruned, block=0, position=0, matrices=[MATRIX], report={"total": 2}, resumed=False),
    "metrics": partial(repository.evaluated, metrics={"dense": {}}, which="dense"),
    "succeed": partial(transitions.succeed, metrics={}, artifact_prefix="jobs/x/1"),
    "fail": partial(transitions.fail, failure=RETRYABLE, retry_seconds=0),
    "cancel": transitions.cancel,
    "pause": transitions.pause,
    "release": transitions.release,
    "expire_lease": transitions.expire_lease,
}


@pytest.mark.parametrize("name", STALE_WRITES)
@pytest.mark.parametrize("now", ["queued", "claimed by another", "failed"])
def test_a_stale_fence_writes_nothing(database: Database, name: str, now: str) -> None:
    job_id = insert_job(database)
    stale = claimed(database)
    take_away(database, stale)
    if now != "queued":
        newer = claimed(database)
        write(
            database, repository.block_pruned, newer, block=0, position=0, matrices=[MATRIX], report={"total": 2}, resumed=False
        )
        if now == "failed":
            write(database, transitions.fail, newer, FINAL, retry_seconds=0)
    before = snapshot(database, job_id)
    with pytest.raises(StaleFence):
        write(database, STALE_WRITES[name], stale)
    assert snapshot(database, job_id) == before


def test_a_new_attempt_starts_without_earlier_results(database: Database) -> None:
    job_id = insert_job(database)
    first = claimed(database)
    write(database, repository.stage_started, first, Stage.PRUNING)
    write(database, repository.block_pruned, first, block=0, position=0, matrices=[MATRIX], report={"total": 2}, resumed=False)
    take_away(database, first)
    second = claimed(database)
    job = job_row(database, job_id)
    assert second.attempt == 2
    assert (job.stage, job.progress, job.metrics) == (None, None, None)
    with database.begin() as session:
        assert session.scalars(select(Layer)).all() == []


def test_a_block_is_written_once_even_if_reported_twice(database: Database) -> None:
    job_id = insert_job(database)
    found = claimed(database)
    report = {"done": 1, "total": 2, "unit": "blocks", "eta_seconds": 1.0}
    for _ in range(2):
        matrices = [MATRIX.model_copy(update={"name": name}) for name in ("a", "b")]
        write(database, repository.block_pruned, found, block=0, position=0, matrices=matrices, report=report, resumed=False)
    with database.begin() as session:
        layers = session.scalars(select(Layer).order_by(Layer.position)).all()
    assert [(layer.position, layer.name, layer.rows, layer.columns) for layer in layers] == [(0, "a", 8, 4), (1, "b", 8, 4)]
    assert job_row(database, job_id).progress == report
    assert event_types(database, job_id).count("block_pruned") == 1


def test_the_revision_is_stored_in_the_spec(database: Database) -> None:
    job_id = insert_job(database, model={"source": "hub", "id": "a/b", "revision": "main"})
    write(database, repository.model_resolved, claimed(database), "0123abcd")
    assert job_row(database, job_id).spec["model"] == {"source": "hub", "id": "a/b", "revision": "0123abcd", "token": None}


@pytest.mark.parametrize(
    ("device", "order"),
    [
        (DeviceClass.GPU, ["gpu", "any"]),
        (DeviceClass.CPU, ["cpu", "any"]),
    ],
)
def test_a_worker_claims_jobs_for_its_device_class(database: Database, device: DeviceClass, order: list[str]) -> None:
    for age, wanted in ((30, "gpu"), (20, "cpu"), (10, "any")):
        insert_job(database, device=wanted, age_seconds=age)
    found = [claim(database, device=device) for _ in range(3)]
    assert [taken and taken.spec["device"] for taken in found] == [*order, None]


def test_pausing_requeues_the_job_without_counting_the_attempt(database: Database) -> None:
    job_id = insert_job(database, max_attempts=1)
    found = claimed(database)
    set_state(database, job_id, JobState.PAUSING)
    assert write(database, repository.heartbeat, found, 60) == WorkerDirective.PAUSE
    write(database, transitions.pause, found)
    job = job_row(database, job_id)
    assert (job.state, job.attempts_counted, job.stage) == (JobState.PAUSED, 0, None)
    assert job.paused_at is not None
    assert event_types(database, job_id)[-2:] == ["attempt_ended", "paused"]
    assert claim(database) is None


@pytest.mark.parametrize("end", ["fail", "release", "expire_lease"])
def test_a_pausing_job_is_paused_however_its_attempt_ends(database: Database, end: str) -> None:
    job_id = insert_job(database)
    found = claimed(database)
    set_state(database, job_id, JobState.PAUSING)
    write(database, STALE_WRITES[end], found)
    assert job_row(database, job_id).state == JobState.PAUSED


def test_success_is_final_and_idempotent(database: Database) -> None:
    job_id = insert_job(database)
    found = claimed(database)
    for _ in range(2):
        write(database, transitions.succeed, found, metrics={"sparsity": 0.5}, artifact_prefix="jobs/x/1")
    job = job_row(database, job_id)
    assert (job.state, job.metrics, job.artifact_prefix) == (JobState.SUCCEEDED, {"sparsity": 0.5}, "jobs/x/1")
    assert job.finished_at is not None
    assert event_types(database, job_id) == ["created", "attempt_started", "attempt_ended", "succeeded"]
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["succeeded"]


def test_transient_failures_are_retried_with_backoff_and_limit(database: Database) -> None:
    job_id = insert_job(database, max_attempts=3)
    waits = []
    for _ in range(2):
        write(database, transitions.fail, claimed(database), RETRYABLE, retry_seconds=100)
        assert claim(database) is None
        waits.append(events_of(database, job_id)[-1].data["delay_seconds"])
        make_available(database, job_id)
    write(database, transitions.fail, claimed(database), RETRYABLE, retry_seconds=100)
    job = job_row(database, job_id)
    assert waits == [100, 200]
    assert (job.state, job.error) == (JobState.FAILED, RETRYABLE.model_dump(mode="json"))
    assert event_types(database, job_id)[-2:] == ["attempt_ended", "failed"]


def test_the_message_of_a_retry_is_due_with_its_job(database: Database) -> None:
    job_id = insert_job(database, send=False)
    write(database, transitions.fail, claimed(database), RETRYABLE, retry_seconds=100)
    with database.begin() as session:
        (message,) = session.scalars(select(OutboxMessage)).all()
    assert message.due_at == job_row(database, job_id).available_at


def test_a_panic_of_a_library_ends_the_attempt_as_a_failure(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As libraries in Rust raise."""

    monkeypatch.setattr(runner, "prune_and_publish", Mock(side_effect=Panic("at /home/somebody/src.rs")))
    job_id = insert_job(database)
    assert runner.work(settings, threading.Event())
    (attempt,) = attempts_of(database, job_id)
    assert (attempt.outcome, attempt.detail) == (
        "failed",
        "internal: An internal error occurred that the job did not cause. (Panic)",
    )


def test_a_permanent_failure_is_final_at_once(database: Database) -> None:
    job_id = insert_job(database)
    write(database, transitions.fail, claimed(database), FINAL, retry_seconds=0)
    assert job_row(database, job_id).state == JobState.FAILED


def test_a_released_attempt_does_not_count_and_frees_the_job(database: Database) -> None:
    job_id = insert_job(database, max_attempts=1)
    for number in (1, 2, 3):
        found = claimed(database)
        assert found.attempt == number
        write(database, transitions.release, found)
    job = job_row(database, job_id)
    assert (job.state, job.attempts_started, job.attempts_counted) == (JobState.QUEUED, 3, 0)
    assert {attempt.outcome for attempt in attempts_of(database, job_id)} == {"released"}


def test_a_job_that_crashes_its_workers_fails_with_worker_lost(database: Database) -> None:
    job_id = insert_job(database, max_attempts=2)
    take_away(database, claimed(database))
    assert job_row(database, job_id).state == JobState.QUEUED
    take_away(database, claimed(database))
    job = job_row(database, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "worker-lost"
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lease_expired"] * 2


@pytest.mark.parametrize("expired", [True, False])
def test_a_worker_that_comes_back_and_gives_up_costs_no_attempt(database: Database, expired: bool) -> None:
    job_id = insert_job(database, max_attempts=2)
    for _ in range(3):
        found = claimed(database)
        if expired:
            take_away(database, found)
        for _ in range(2):
            write(database, transitions.give_up, found)
    job = job_row(database, job_id)
    assert (job.state, job.attempts_started, job.attempts_counted) == (JobState.QUEUED, 3, 0)
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lease_expired"] * 3


def test_a_job_that_stalls_every_worker_fails(database: Database) -> None:
    job_id = insert_job(database, max_attempts=2)
    for _ in range(transitions.UNCOUNTED_STALLS + 2):
        found = claimed(database)
        take_away(database, found)
        write(database, transitions.give_up, found)
    assert job_row(database, job_id).state == JobState.FAILED


def test_giving_up_a_job_that_has_ended_writes_nothing(database: Database) -> None:
    job_id = insert_job(database, max_attempts=1)
    found = claimed(database)
    take_away(database, found)
    before = snapshot(database, job_id)
    write(database, transitions.give_up, found)
    assert snapshot(database, job_id) == before


@pytest.mark.parametrize("end", ["cancel", "fail", "pause", "release", "expire_lease"])
def test_a_cancelling_job_is_never_queued_again(database: Database, end: str) -> None:
    job_id = insert_job(database)
    found = claimed(database)
    set_state(database, job_id, JobState.CANCELLING)
    write(database, STALE_WRITES[end], found)
    assert job_row(database, job_id).state == JobState.CANCELLED
    assert event_types(database, job_id)[-2:] == ["attempt_ended", "cancelled"]


@pytest.mark.parametrize("source", JobState)
@pytest.mark.parametrize("target", JobState)
def test_the_database_enforces_the_transitions_of_the_contract(database: Database, source: JobState, target: JobState) -> None:
    job_id = insert_job(database)
    with database.begin() as session:
        session.execute(text("ALTER TABLE jobs DISABLE TRIGGER job_updated"))
        move(session, job_id, source)
        session.execute(text("ALTER TABLE jobs ENABLE TRIGGER job_updated"))
    if target == source or target in TRANSITIONS[source]:
        set_state(database, job_id, target)
    else:
        with pytest.raises(IntegrityError, match="does not go from"):
            set_state(database, job_id, target)


def set_state(database: Database, job_id: UUID, state: JobState) -> None:
    with database.begin() as session:
        move(session, job_id, state)


def move(session: Session, job_id: UUID, state: JobState) -> None:
    session.execute(update(Job).where(Job.id == job_id).values(state=state))


def make_available(database: Database, job_id: UUID) -> None:
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(available_at=func.now()))
