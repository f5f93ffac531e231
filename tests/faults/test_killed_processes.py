"""Workers that are killed, stopped and interrupted in the middle of a job.

The job is long enough to be caught while it prunes. Workers and dispatcher are real processes.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import update

from service.broker.queue import Queue
from service.contract.devices import QUEUE
from service.contract.messages import PRUNE_TASK
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support.job_rows import attempts_of, event_types, insert_job, job_row
from tests.support.long_jobs import (
    assert_at_most_one_block_was_lost_each_time,
    assert_gone,
    assert_one_artifact_and_nothing_else,
    blocks_of,
    busy_one,
    end_job,
    expire_lease,
    insert_endless_job,
    insert_long_job,
    save_slow_model,
    wait_until_it_prunes,
    wait_until_it_succeeds,
    weights,
)
from tests.support.processes import starting, working
from tests.support.threads import dispatcher_threads
from tests.support.waiting import CEILING_SECONDS, eventually


@pytest.fixture
def cluster(settings: Settings) -> Iterator[Settings]:
    """A running dispatcher, and a model that takes a while."""
    save_slow_model(settings)
    settings = settings.model_copy(update={"resend_seconds": 3600.0})
    with dispatcher_threads(settings):
        yield settings


def test_another_worker_takes_over_after_child_and_worker_die(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path, "first") as first, working(cluster, tmp_path, "second") as second:
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        busy_one(database, job_id, first, second).child().kill()
        expire_lease(database, job_id)
        wait_until_it_prunes(database, job_id, attempt=2)
        busy = busy_one(database, job_id, first, second)
        family = busy.family()
        busy.process.kill()
        assert_gone(family)
        expire_lease(database, job_id)
        wait_until_it_succeeds(database, job_id)
        assert_one_artifact_and_nothing_else(cluster, database, job_id)
        undisturbed = insert_long_job(database)
        wait_until_it_succeeds(database, undisturbed)
        assert weights(cluster, database, job_id) == weights(cluster, database, undisturbed)
    assert_at_most_one_block_was_lost_each_time(database, job_id)
    assert sum(resumed for _, resumed in blocks_of(database, job_id)) > 0
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lease_expired", "lease_expired", "succeeded"]


def test_a_worker_replaces_its_killed_child_and_finishes_the_job(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path) as worker:
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        worker.child().kill()
        expire_lease(database, job_id)
        wait_until_it_succeeds(database, job_id)
        assert_one_artifact_and_nothing_else(cluster, database, job_id)


def test_sigterm_releases_the_job_without_counting_the_attempt(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path, "first") as first, working(cluster, tmp_path, "second") as second:
        job_id = insert_endless_job(cluster, database)
        wait_until_it_prunes(database, job_id)
        busy = busy_one(database, job_id, first, second)
        family = busy.family()
        busy.process.send_signal(signal.SIGTERM)
        assert busy.process.wait(CEILING_SECONDS) == 0
        assert_gone(family)
        eventually(lambda: job_row(database, job_id).attempts_started == 2)
        gave_back, took_up = attempts_of(database, job_id)
        assert gave_back.ended_at is not None
        assert took_up.started_at >= gave_back.ended_at
        job = job_row(database, job_id)
        assert attempts_of(database, job_id)[0].outcome == "released"
        assert job.attempts_counted == 1
        wait_until_it_prunes(database, job_id, attempt=2)
        end_job(database, job_id)


def test_a_job_is_cancelled_during_pruning_and_its_worker_lives(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path):
        job_id = insert_endless_job(cluster, database)
        wait_until_it_prunes(database, job_id)
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
        eventually(lambda: job_row(database, job_id).finished_at)
        assert job_row(database, job_id).state == JobState.CANCELLED
        following = insert_job(database, model={"source": "local", "id": "slow"})
        wait_until_it_succeeds(database, following)
        assert_one_artifact_and_nothing_else(cluster, database, following)


def test_a_job_that_always_kills_its_worker_fails(cluster: Settings, database: Database, tmp_path: Path) -> None:
    with working(cluster, tmp_path) as worker:
        poison = insert_long_job(database, priority=9, max_attempts=2)
        following = insert_job(database, model={"source": "local", "id": "slow"})
        for attempt in (1, 2):
            wait_until_it_prunes(database, poison, attempt)
            worker.child().kill()
            expire_lease(database, poison)
        wait_until_it_succeeds(database, following)
        eventually(lambda: job_row(database, poison).finished_at)
    job = job_row(database, poison)
    assert (job.state, (job.error or {})["code"]) == (JobState.FAILED, "worker-lost")
    assert [attempt.outcome for attempt in attempts_of(database, poison)] == ["lease_expired"] * 2


def test_the_same_message_five_times_starts_one_attempt(cluster: Settings, database: Database, tmp_path: Path) -> None:
    queue = Queue(cluster.broker_url.get_secret_value())
    with working(cluster, tmp_path):
        job_id = insert_job(database, model={"source": "local", "id": "slow"})
        for _ in range(5):
            queue.send(PRUNE_TASK, {"job_id": str(job_id)}, QUEUE)
        eventually(lambda: queue.backlog(QUEUE) == 0)
        wait_until_it_succeeds(database, job_id)
    queue.close()
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["succeeded"]
    assert event_types(database, job_id).count("succeeded") == 1


def test_an_idle_worker_survives_sighup_and_stops_at_sigterm(settings: Settings, database: Database, tmp_path: Path) -> None:
    with working(settings, tmp_path) as worker:
        family = worker.family()
        for process in family:
            process.send_signal(signal.SIGHUP)  # of a reload: nothing happens
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(CEILING_SECONDS) == 0
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
