"""Workers that are killed, stopped and interrupted in the middle of a job.

The job is long enough to be caught while it prunes. Workers and dispatcher are real processes.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest
import redis
from sqlalchemy import update

from service.contract import PRUNE_TASK, QUEUE, JobState
from service.database import Database
from service.jobs.tables import Job
from service.queue import Queue
from service.settings import Settings
from tests.integration.job_rows import attempts_of, events_of, eventually, insert_job, job_row
from tests.integration.tiny_model import save_model
from tests.integration.worker_processes import Worker, dispatching, starting, working

LEASE_SECONDS = 6.0
LONG = {"dataset": "c4-sample", "num_samples": 128, "sequence_length": 128}
ENDLESS = {"dataset": "c4-sample", "num_samples": 512, "sequence_length": 256}
"""For jobs that are cancelled: no machine gets through them while a worker stops."""


@pytest.fixture
def cluster(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A running dispatcher, and a model that takes a while."""
    save_model(settings.model_root / "slow", layers=10, width=64)
    longer = settings.model_copy(update={"lease_seconds": LEASE_SECONDS, "resend_seconds": 30.0})
    with dispatching(longer, tmp_path):
        yield longer


def insert_long_job(database: Database, calibration: dict[str, object] = LONG) -> UUID:
    return insert_job(database, model={"source": "local", "id": "slow"}, calibration=calibration)


def wait_until_it_prunes(database: Database, job_id: UUID, attempt: int = 1) -> None:
    eventually(lambda: is_pruning(database, job_id, attempt), seconds=120)


def is_pruning(database: Database, job_id: UUID, attempt: int) -> bool:
    job = job_row(database, job_id)
    assert job.finished_at is None, job.state
    return job.attempts_started == attempt and job.stage == "pruning" and (job.progress or {}).get("done", 0) > 0


def seconds_until_attempt(database: Database, job_id: UUID, number: int) -> float:
    began = time.monotonic()
    eventually(lambda: job_row(database, job_id).attempts_started == number, seconds=60)
    return time.monotonic() - began


def wait_until_it_succeeds(database: Database, job_id: UUID) -> None:
    eventually(lambda: job_row(database, job_id).finished_at, seconds=120)
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def assert_one_artifact_and_nothing_else(settings: Settings, database: Database, job_id: UUID) -> None:
    store = Path(settings.artifact_url.removeprefix("file://"))
    prefix = job_row(database, job_id).artifact_prefix
    assert prefix is not None
    assert [path.parent for path in store.rglob("manifest.json")] == [store / prefix]
    assert {path.parent for path in store.rglob("*") if path.is_file()} == {store / prefix}
    assert [path for path in settings.cache_dir.rglob("*") if path.is_file()] == []


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []


def end_job(database: Database, job_id: UUID) -> None:
    """Cancel it, so that the workers can go."""
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
    eventually(lambda: job_row(database, job_id).finished_at, seconds=30)


def resumed_blocks(database: Database, job_id: UUID) -> int:
    """How many times an attempt went on with a block of an earlier one."""
    return sum(event.data.get("resumed", False) for event in events_of(database, job_id))


def busy_one(database: Database, job_id: UUID, *workers: Worker) -> Worker:
    """The worker that has the job."""
    pid = int(attempts_of(database, job_id)[-1].worker.rpartition(":")[2])
    (found,) = [worker for worker in workers if worker.process.pid == pid]
    return found


def test_another_worker_takes_over_when_a_child_and_then_a_whole_worker_are_killed(
    cluster: Settings, database: Database, tmp_path: Path
) -> None:
    with working(cluster, tmp_path, "first") as first, working(cluster, tmp_path, "second") as second:
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        busy_one(database, job_id, first, second).child().kill()
        assert seconds_until_attempt(database, job_id, 2) <= LEASE_SECONDS + 5
        wait_until_it_prunes(database, job_id, attempt=2)
        busy = busy_one(database, job_id, first, second)
        family = busy.family()
        busy.process.kill()
        assert_gone(family)
        seconds_until_attempt(database, job_id, 3)
        wait_until_it_succeeds(database, job_id)
        assert_one_artifact_and_nothing_else(cluster, database, job_id)
    assert resumed_blocks(database, job_id) > 0
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lease_expired", "lease_expired", "succeeded"]


def test_a_worker_replaces_its_killed_child_and_finishes_the_job_itself(
    cluster: Settings, database: Database, tmp_path: Path
) -> None:
    with working(cluster, tmp_path) as worker:
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        worker.child().kill()
        wait_until_it_succeeds(database, job_id)
        assert_one_artifact_and_nothing_else(cluster, database, job_id)


def test_sigterm_gives_the_job_back_and_the_attempt_does_not_count(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path, "first") as first, working(cluster, tmp_path, "second") as second:
        job_id = insert_long_job(database, ENDLESS)
        wait_until_it_prunes(database, job_id)
        busy = busy_one(database, job_id, first, second)
        family = busy.family()
        busy.process.send_signal(signal.SIGTERM)
        assert busy.process.wait(15) == 0
        assert_gone(family)
        seconds_until_attempt(database, job_id, 2)
        job = job_row(database, job_id)
        assert attempts_of(database, job_id)[0].outcome == "released"
        assert job.attempts_counted == 1
        wait_until_it_prunes(database, job_id, attempt=2)
        end_job(database, job_id)


def test_a_job_is_cancelled_while_it_prunes_and_the_worker_goes_on(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path):
        job_id = insert_long_job(database, ENDLESS)
        wait_until_it_prunes(database, job_id)
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
        eventually(lambda: job_row(database, job_id).finished_at, seconds=10)
        assert job_row(database, job_id).state == JobState.CANCELLED
        following = insert_job(database, model={"source": "local", "id": "slow"})
        wait_until_it_succeeds(database, following)
        assert_one_artifact_and_nothing_else(cluster, database, following)


def test_an_idle_worker_stops_quickly(settings: Settings, database: Database, tmp_path: Path) -> None:
    with working(settings, tmp_path) as worker:
        family = worker.family()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(10) == 0
        assert_gone(family)


def test_a_message_stays_in_the_broker_until_a_worker_can_begin(
    settings: Settings, broker: "redis.Redis", tmp_path: Path
) -> None:
    queue = Queue(settings.broker_url.get_secret_value())
    queue.send(PRUNE_TASK, {"job_id": "of no job"}, QUEUE)
    with starting(settings, tmp_path) as worker:
        while not worker.is_ready:
            waiting = queue.backlog(QUEUE)
            assert waiting == 1 or worker.is_ready
            time.sleep(0.02)
        eventually(lambda: queue.backlog(QUEUE) == 0)
        queue.close()
