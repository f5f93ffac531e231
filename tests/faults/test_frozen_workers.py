"""A worker that stands still for longer than its lease, and then goes on as if nothing had happened."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import psutil
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from service.contract.artifacts import artifact_prefix
from service.contract.devices import DeviceClass
from service.contract.states import JobState, WorkerDirective
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.dispatcher import loop
from service.dispatcher.expiry import expire_leases
from service.dispatcher.loop import Dispatcher
from service.jobs.attempts import repository
from service.settings import Settings
from tests.support.job_rows import attempts_of, events_of, insert_job, job_row
from tests.support.long_jobs import (
    assert_one_artifact_and_nothing_else,
    busy_one,
    expire_lease,
    insert_long_job,
    save_slow_model,
    wait_for_attempt,
    wait_until_it_prunes,
    wait_until_it_succeeds,
)
from tests.support.processes import Worker, working
from tests.support.threads import attempt_thread, dispatcher_threads
from tests.support.waiting import eventually
from worker.attempt.runner import work


@contextmanager
def frozen(worker: Worker, database: Database, job_id: UUID) -> Iterator[list[psutil.Process]]:
    """All processes of a worker stand still, in no transaction that locks the job or its attempt."""
    family = worker.family()
    try:
        eventually(lambda: stopped_without_lock(family, database, job_id))
        yield family
    finally:
        send(family, signal.SIGCONT)


def stopped_without_lock(family: list[psutil.Process], database: Database, job_id: UUID) -> bool:
    send(family, signal.SIGSTOP)
    try:
        with database.begin() as session:
            rows = select(Job.id).join(Attempt, Attempt.job_id == Job.id).where(Job.id == job_id)
            session.execute(rows.with_for_update(nowait=True))
    except OperationalError:
        send(family, signal.SIGCONT)
        return False
    return True


def send(family: list[psutil.Process], number: signal.Signals) -> None:
    for process in family:
        if process.is_running():
            process.send_signal(number)


def test_a_frozen_worker_writes_no_more_and_its_files_are_swept(settings: Settings, database: Database, tmp_path: Path) -> None:
    save_slow_model(settings)
    settings = settings.model_copy(update={"resend_seconds": 3600.0, "sweep_seconds": 1.0})
    with (
        dispatcher_threads(settings),
        working(settings, tmp_path, "first") as first,
        working(settings, tmp_path, "second") as second,
    ):
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        stale = busy_one(database, job_id, first, second)
        child = stale.child()
        leftover = (
            Path(settings.artifact_url.removeprefix("file://"))
            / artifact_prefix(job_id, job_row(database, job_id).fence)
            / "model.safetensors"
        )
        with frozen(stale, database, job_id):
            expire_lease(database, job_id)
            wait_for_attempt(database, job_id, 2)
            leftover.parent.mkdir(parents=True)
            leftover.write_bytes(b"as if it had been publishing")
            taken_at = events_of(database, job_id)[-1].seq
            wait_until_it_prunes(database, job_id, attempt=2)
        eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        wait_until_it_succeeds(database, job_id)
        eventually(lambda: not leftover.exists())
        assert_one_artifact_and_nothing_else(settings, database, job_id)
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lease_expired", "succeeded"]
    after = [event for event in events_of(database, job_id) if event.seq > taken_at and event.type == "block_pruned"]
    assert [event.data["block"] for event in after] == list(range(10)), "blocks of the second attempt, each once"


def test_three_sleeps_cost_no_attempt(settings: Settings, database: Database) -> None:
    save_slow_model(settings)
    settings = settings.model_copy(update={"heartbeat_seconds": 0.05})
    job_id = insert_long_job(database, max_attempts=3)
    for number in (1, 2, 3):
        with attempt_thread(settings), patch.object(repository, "heartbeat", return_value=WorkerDirective.CONTINUE):
            wait_until_it_prunes(database, job_id, number)
            expire_lease(database, job_id)
            expire_leases(database)
        assert job_row(database, job_id).attempts_counted == 0
    assert work(settings, threading.Event())
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def test_a_dispatcher_that_slept_lets_workers_renew_their_leases(settings: Settings, database: Database) -> None:
    job_id = insert_job(database)
    with database.begin() as session:
        claim = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=60)
    assert claim
    expire_lease(database, job_id)
    clock, lease = iter([0.0]), settings.lease_seconds
    with patch.object(loop, "_seconds", lambda: next(clock)):
        dispatcher = Dispatcher(settings)
        for now, state in ((lease + 1, JobState.RUNNING), (1.5 * lease, JobState.RUNNING), (2 * lease + 1, JobState.QUEUED)):
            clock = iter([now])
            dispatcher.apply_rules()
            assert job_row(database, job_id).state == state
    dispatcher.close()
