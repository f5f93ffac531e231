"""The dispatcher's rules on a real PostgreSQL and a real broker."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import func, select, update

from service.broker.queue import Queue, QueueUnavailable
from service.contract.devices import ANY_DEVICE, QUEUE, DeviceClass
from service.contract.states import JobState, WorkerDirective
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.dispatcher.expiry import apply_queue_deadlines, apply_run_deadlines, expire_leases
from service.dispatcher.outbox_sender import Sender, resend_unclaimed
from service.embedded import valkey
from service.embedded.processes import Child
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.jobs.attempts.repository import Claim
from service.jobs.outbox import repository as outbox
from service.settings import Settings
from tests.support.job_rows import attempts_of, break_connections, event_types, insert_job, job_row
from tests.support.threads import dispatcher_threads
from tests.support.waiting import eventually


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    queue = Queue(settings.broker_url.get_secret_value())
    yield queue
    queue.close()


def claimed(database: Database, *, lease_seconds: float = 60) -> Claim:
    with database.begin() as session:
        found = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=lease_seconds)
    assert found is not None
    return found


def waiting(database: Database) -> int:
    with database.begin() as session:
        return outbox.count(session)


def make_older(database: Database, seconds: float, *columns: Any) -> None:
    with database.begin() as session:
        session.execute(update(Job).values({column: column - timedelta(seconds=seconds) for column in columns}))


def test_a_new_job_is_sent_immediately(settings: Settings, database: Database, broker: "redis.Redis") -> None:
    slow = settings.model_copy(update={"dispatch_seconds": 20.0})
    with dispatcher_threads(slow) as stop:
        for _ in range(3):
            job_id = insert_job(database)
            eventually(lambda: job_row(database, job_id).sent_at)  # noqa: B023
        stop.set()
        insert_job(database, send=False)  # its event wakes the dispatcher, which then stops
    assert broker.llen(QUEUE) == 3
    assert waiting(database) == 0


def test_several_dispatchers_send_each_message_once(settings: Settings, database: Database, broker: "redis.Redis") -> None:
    for _ in range(30):
        insert_job(database)
    with dispatcher_threads(settings, count=3):
        eventually(lambda: waiting(database) == 0)
    assert broker.llen(QUEUE) == 30


def test_messages_wait_for_a_stopped_broker_and_are_sent_later(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Exception] = []
    broker_failed = Sender._broker_failed

    def note(sender: Sender, error: QueueUnavailable) -> None:
        refusals.append(error)
        broker_failed(sender, error)

    monkeypatch.setattr(Sender, "_broker_failed", note)
    child, url = valkey.start(tmp_path / "valkey-home")
    child.process.kill()
    child.process.wait()
    jobs = [insert_job(database) for _ in range(3)]
    with dispatcher_threads(Settings.model_validate(settings.model_dump() | {"broker_url": url})):
        eventually(lambda: len(refusals) >= 3)
        assert waiting(database) == 3
        again = Child.start("valkey", [*child.process.args[-2:]], tmp_path / "logs")  # type: ignore[index]
        try:
            eventually(lambda: waiting(database) == 0)
            assert redis.Redis.from_url(url).llen(QUEUE) == 3
            assert all(job_row(database, job).sent_at for job in jobs)
        finally:
            again.stop(5)


def test_a_dispatcher_survives_the_loss_of_its_connections(settings: Settings, database: Database, broker: "redis.Redis") -> None:
    with dispatcher_threads(settings):
        for number in range(1, 4):
            insert_job(database)
            eventually(lambda: waiting(database) == 0)
            assert broker.llen(QUEUE) >= number  # twice where the connection broke between sending and committing
            break_connections(database)


def test_a_message_due_later_stays_in_the_outbox(database: Database, queue: Queue, broker: "redis.Redis") -> None:
    with database.begin() as session:
        outbox.add_job(session, insert_job(database, send=False), ANY_DEVICE, delay_seconds=60)
    assert Sender(database, queue).send_due() == 0
    assert (waiting(database), broker.llen(QUEUE)) == (1, 0)


def test_jobs_whose_messages_the_broker_lost_are_resent(
    settings: Settings, database: Database, queue: Queue, broker: "redis.Redis"
) -> None:
    jobs = [insert_job(database) for _ in range(3)]
    with dispatcher_threads(settings):
        eventually(lambda: broker.llen(QUEUE) == 3)
        broker.flushall()
        eventually(lambda: broker.llen(QUEUE) == 3)
    assert {job_row(database, job).state for job in jobs} == {"queued"}


def test_nothing_is_resent_while_messages_are_in_the_broker(database: Database, queue: Queue, broker: "redis.Redis") -> None:
    for _ in range(3):
        insert_job(database)
    Sender(database, queue).send_due()
    make_older(database, 3600, Job.sent_at)
    assert resend_unclaimed(database, queue, 30) == 0
    broker.lpop(QUEUE)
    assert resend_unclaimed(database, queue, 30) == 1
    assert resend_unclaimed(database, queue, 30) == 0


def test_a_job_is_not_resent_early(database: Database, queue: Queue, broker: "redis.Redis") -> None:
    insert_job(database)
    Sender(database, queue).send_due()
    broker.flushall()
    assert resend_unclaimed(database, queue, 30) == 0
    make_older(database, 31, Job.sent_at)
    assert resend_unclaimed(database, queue, 30) == 1


def test_an_attempt_with_an_expired_lease_is_closed(database: Database) -> None:
    job_id = insert_job(database, send=False)
    kept = claimed(database, lease_seconds=60)
    assert expire_leases(database) == 0
    with database.begin() as session:
        transitions.release(session, kept.job_id, kept.fence)
    lost = claimed(database, lease_seconds=-1)
    assert expire_leases(database) == 1
    job = job_row(database, job_id)
    assert (job.state, job.fence) == (JobState.QUEUED, lost.fence + 1)
    assert attempts_of(database, job_id)[-1].outcome == "lease_expired"
    with database.begin() as session:
        assert repository.heartbeat(session, lost.job_id, lost.fence, 60) == WorkerDirective.ABANDON


def test_a_job_that_loses_every_worker_fails_and_frees_the_queue(database: Database) -> None:
    bad = insert_job(database, max_attempts=2, priority=9)
    good = insert_job(database)
    for _ in range(2):
        assert claimed(database, lease_seconds=-1).job_id == bad
        expire_leases(database)
    job = job_row(database, bad)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "worker-lost"
    assert claimed(database).job_id == good


def test_a_job_never_started_expires_at_its_queue_deadline(database: Database) -> None:
    late = insert_job(database, queue_deadline_seconds=60, age_seconds=61)
    early = insert_job(database, queue_deadline_seconds=60)
    begun = insert_job(database, queue_deadline_seconds=60, priority=9)
    with database.begin() as session:
        found = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=60)
        assert found is not None
        transitions.release(session, found.job_id, found.fence)
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == begun).values(queue_deadline_at=func.now() - timedelta(seconds=1)))
    assert apply_queue_deadlines(database) == 1
    assert [job_row(database, job).state for job in (late, early, begun)] == ["expired", "queued", "queued"]
    assert event_types(database, late) == ["created", "expired"]


@pytest.mark.parametrize("running", [True, False])
def test_the_run_deadline_fails_jobs_in_and_between_attempts(database: Database, running: bool) -> None:
    job_id = insert_job(database, run_deadline_seconds=60)
    found = claimed(database)
    if not running:
        with database.begin() as session:
            transitions.release(session, found.job_id, found.fence)
    assert apply_run_deadlines(database) == 0
    make_older(database, 61, Job.run_deadline_at)
    assert apply_run_deadlines(database) == 1
    job = job_row(database, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "deadline-exceeded"
    assert attempts_of(database, job_id)[0].outcome == ("deadline_exceeded" if running else "released")
    with database.begin() as session:
        assert repository.heartbeat(session, found.job_id, found.fence, 60) == WorkerDirective.ABANDON


def test_a_row_that_raises_does_not_stop_the_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = insert_job(database, priority=9), insert_job(database)
    for _ in range(2):
        claimed(database, lease_seconds=-1)
    original = transitions.expire_lease

    def expire_lease(session: Any, job_id: Any, fence: int) -> None:
        if job_id == broken:
            session.execute(select(1 / func.length("")))
        original(session, job_id, fence)

    monkeypatch.setattr(transitions, "expire_lease", expire_lease)
    assert expire_leases(database) == 1
    assert [job_row(database, job).state for job in (broken, sound)] == ["running", "queued"]
