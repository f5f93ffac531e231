"""A job that is paused and resumed again and again comes to the same bits as one that was left alone."""

import threading
from pathlib import Path
from uuid import UUID

from service.contract.states import JobState
from service.database.engine import Database
from service.jobs import lifecycle
from service.settings import Settings
from tests.support.job_rows import attempts_of, job_row
from tests.support.long_jobs import (
    BRISK,
    assert_at_most_one_block_was_lost_each_time,
    assert_one_artifact_and_nothing_else,
    blocks_of,
    insert_long_job,
    save_slow_model,
    wait_until_it_prunes,
    wait_until_it_succeeds,
    weights,
)
from tests.support.processes import dispatching, working
from tests.support.size import sized
from tests.support.threads import attempt_thread
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually
from worker.attempt.runner import work

PAUSES = sized(5, 20)


def done(database: Database, job_id: UUID) -> int:
    counts = blocks_of(database, job_id)
    return counts[-1][0] if counts else 0


def test_pausing_changes_no_bit_of_the_result(settings: Settings, database: Database) -> None:
    save_model(settings.model_root / "slow", layers=PAUSES + 6, width=64)
    settings = settings.model_copy(update={"heartbeat_seconds": 0.05})
    job_id = insert_long_job(database, BRISK)
    for number in range(PAUSES):
        with attempt_thread(settings):
            eventually(lambda: job_row(database, job_id).stage == "pruning" and done(database, job_id) > number)  # noqa: B023
            lifecycle.pause(database, job_id, tenant="test")
        assert job_row(database, job_id).state == JobState.PAUSED, number
        lifecycle.resume(database, job_id, tenant="test")
    undisturbed = insert_long_job(database, BRISK)
    for _ in range(2):
        assert work(settings, threading.Event())
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["paused"] * PAUSES + ["succeeded"]
    assert_at_most_one_block_was_lost_each_time(database, job_id)
    assert weights(settings, database, job_id) == weights(settings, database, undisturbed)
    assert_one_artifact_and_nothing_else(settings, database, job_id, undisturbed)


def test_a_real_worker_pauses_a_job_runs_another_and_resumes(settings: Settings, database: Database, tmp_path: Path) -> None:
    save_slow_model(settings)
    save_model(settings.model_root / "tiny")
    with dispatching(settings, tmp_path), working(settings, tmp_path):
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        lifecycle.pause(database, job_id, tenant="test")
        eventually(lambda: job_row(database, job_id).state == JobState.PAUSED)
        other = insert_long_job(database, BRISK)
        wait_until_it_succeeds(database, other)
        assert job_row(database, job_id).state == JobState.PAUSED
        lifecycle.resume(database, job_id, tenant="test")
        wait_until_it_succeeds(database, job_id)
        assert_one_artifact_and_nothing_else(settings, database, job_id, other)
    assert sum(resumed for _, resumed in blocks_of(database, job_id)) > 0
