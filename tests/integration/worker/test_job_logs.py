"""The log of a job: what its worker logs while it runs, kept with the job."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text, update

from service.contract.failures import FailureCode
from service.contract.logs import JOB_BYTES
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.logs import JobLogLine
from service.jobs.attempts import transitions
from service.logging import get_logger
from service.settings import Settings
from tests.support.job_rows import insert_job, job_row
from tests.support.log_rows import lines_of, texts_of
from tests.support.long_jobs import expire_lease, insert_endless_job, insert_long_job, save_slow_model, wait_until_it_prunes
from tests.support.processes import dispatching, working
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually
from tests.support.worker_logging import logging_like_a_worker
from worker.attempt import pipeline
from worker.attempt.runner import work
from worker.failures import JobFailure
from worker.process.limited_child import run_limited
from worker.run.job_log import JobLog

SECRET = "Zq8vT2mN4xR7"

Disturb = Callable[[Callable[[], object]], None]


@pytest.fixture
def job_id(settings: Settings, database: Database) -> Iterator[UUID]:
    save_model(settings.model_root / "tiny")
    with logging_like_a_worker(settings, SECRET):
        yield insert_job(database)


@pytest.fixture
def before_pruning(monkeypatch: pytest.MonkeyPatch) -> Disturb:
    """Something else that the run does when it has loaded everything."""

    def insert(act: Callable[[], object]) -> None:
        real = vars(pipeline)["sparsify"]

        def disturbed(*args: Any, **options: Any) -> Any:
            act()
            return real(*args, **options)

        monkeypatch.setattr(pipeline, "sparsify", disturbed)

    return insert


def run(settings: Settings) -> None:
    assert work(settings, threading.Event())


def test_a_job_has_the_lines_of_its_run(settings: Settings, database: Database, job_id: UUID) -> None:
    run(settings)
    lines = lines_of(database, job_id)
    events = [line.text.partition(" ")[0] for line in lines]
    assert events[:2] == ["job_claimed", "stage_started"]
    assert events[-1] == "artifact_published"
    assert [(line.stage, line.text.partition(" seconds=")[0]) for line in lines if line.text.startswith("block_pruned")] == [
        ("pruning", "block_pruned block=0 total=2 matrices=7"),
        ("pruning", "block_pruned block=1 total=2 matrices=7"),
    ]
    assert [line.seq for line in lines] == [*range(1, len(lines) + 1)]
    assert {line.attempt for line in lines} == {1}
    assert not any(str(job_id) in line.text for line in lines), "the log is the job's own"


def test_the_times_of_the_lines_are_the_database_s_and_within_the_run(
    settings: Settings, database: Database, job_id: UUID
) -> None:
    run(settings)
    job, times = job_row(database, job_id), [line.created_at for line in lines_of(database, job_id)]
    assert job.started_at is not None
    assert job.finished_at is not None
    assert times == sorted(times)
    assert job.started_at <= times[0] <= times[-1] <= job.finished_at


def test_warnings_of_libraries_are_lines(settings: Settings, database: Database, job_id: UUID, before_pruning: Disturb) -> None:
    def complain() -> None:
        logging.getLogger("transformers.modeling_utils").warning("weights of %s are tied", "lm_head")
        warnings.warn("this will change", FutureWarning, stacklevel=1)

    before_pruning(complain)
    run(settings)
    found = [(line.stage, line.text) for line in lines_of(database, job_id) if line.level == logging.WARNING]
    assert ("pruning", "transformers.modeling_utils: weights of lm_head are tied") in found
    assert any("FutureWarning: this will change" in text for _, text in found)


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(
    settings: Settings, database: Database, job_id: UUID, before_pruning: Disturb
) -> None:
    def log_in_child_of_a_busy_parent() -> None:
        (handler,) = (each for each in logging.root.handlers if isinstance(each, JobLog))
        with handler._lines._lock:  # as if the log's thread took lines during the fork
            run_limited(lambda: logging.getLogger("library").warning("said in the child"), "It", FailureCode.INTERNAL)

    before_pruning(log_in_child_of_a_busy_parent)
    run(settings)
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def test_a_planted_secret_reaches_no_line(settings: Settings, database: Database, job_id: UUID, before_pruning: Disturb) -> None:
    def fail() -> None:
        get_logger("worker.x").info("opened", url=f"s3://key:{SECRET}@store/x", options={"nested": [SECRET]})
        logging.getLogger("library").warning("signed in with %s", SECRET)
        warnings.warn(f"deprecated {SECRET}", UserWarning, stacklevel=1)
        raise RuntimeError(f"refused {SECRET}")

    before_pruning(fail)
    run(settings)
    found = texts_of(database, job_id)
    assert sum("[redacted]" in each for each in found) >= 4
    assert not any(SECRET in each for each in found)


def test_the_last_lines_of_a_failed_attempt_are_the_end_of_its_traceback(
    settings: Settings, database: Database, job_id: UUID, before_pruning: Disturb
) -> None:
    def fail() -> None:
        raise RuntimeError(f"nothing at {settings.cache_dir}/scratch")

    before_pruning(fail)
    run(settings)
    lines = lines_of(database, job_id)
    assert (lines[-1].level, lines[-1].stage) == (logging.WARNING, "pruning")
    assert lines[-1].text == "RuntimeError: nothing at <cache>/scratch"
    texts = [line.text for line in lines]
    trace = texts[texts.index("run_failed code=internal") + 1 :]
    assert trace[0] == "Traceback (most recent call last):"
    assert any('File "worker/attempt/runner.py"' in each for each in trace)
    assert not any(str(settings.model_root.parent) in each for each in trace), "paths of the machine are no business of tenants"


def test_the_last_line_of_a_known_failure_is_its_reason_without_a_traceback(
    settings: Settings, database: Database, job_id: UUID, before_pruning: Disturb
) -> None:
    def fail() -> None:
        raise JobFailure(FailureCode.DATASET_UNAVAILABLE, "The hub cannot be reached.") from ConnectionError("at 10.0.0.1")

    before_pruning(fail)
    run(settings)
    texts = texts_of(database, job_id)
    assert texts[-1] == 'run_failed code=dataset-unavailable detail="The hub cannot be reached."'
    assert not any("Traceback" in each or "10.0.0.1" in each for each in texts)


def test_an_attempt_that_lost_its_job_writes_no_more(
    settings: Settings, database: Database, job_id: UUID, before_pruning: Disturb
) -> None:
    def lose() -> None:
        eventually(lambda: any("stage=pruning" in each for each in texts_of(database, job_id)))
        with database.begin() as session:
            transitions.expire_lease(session, job_id, job_row(database, job_id).fence)
        get_logger("worker.x").info("too_late")

    before_pruning(lose)
    run(settings)
    assert job_row(database, job_id).state == JobState.QUEUED, "for another attempt"
    assert not any("too_late" in each or "block_pruned" in each for each in texts_of(database, job_id))


def test_a_log_that_cannot_be_written_does_not_fail_the_job(settings: Settings, database: Database, job_id: UUID) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE job_logs RENAME TO away"))
    try:
        run(settings)
    finally:
        with database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO job_logs"))
    assert job_row(database, job_id).state == JobState.SUCCEEDED, job_row(database, job_id).error
    assert texts_of(database, job_id) == []


def test_a_job_whose_log_is_full_says_so_and_keeps_no_more(settings: Settings, database: Database, job_id: UUID) -> None:
    with database.begin() as session:
        session.add(JobLogLine(job_id=job_id, seq=1, attempt=1, level=20, stage=None, text="much", bytes=JOB_BYTES))
    run(settings)
    first, *rest = texts_of(database, job_id)
    assert first == "much"
    assert rest
    assert all(each.startswith("log truncated: ") for each in rest)
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def test_lines_appear_while_the_job_runs_and_survive_the_killed_worker(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    save_slow_model(settings)
    with dispatching(settings, tmp_path), working(settings, tmp_path) as worker:
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        eventually(lambda: any(each.startswith("block_pruned block=0") for each in texts_of(database, job_id)))
        assert job_row(database, job_id).state == JobState.RUNNING
        worker.child().kill()
        before = texts_of(database, job_id)
        expire_lease(database, job_id)
        eventually(lambda: job_row(database, job_id).state == JobState.SUCCEEDED)
    lines = lines_of(database, job_id)
    assert [line.text for line in lines if line.attempt == 1][: len(before)] == before
    assert [line.seq for line in lines] == [*range(1, len(lines) + 1)]
    second = [line.text for line in lines if line.attempt == 2]
    assert any("block_pruned block=0" in each and each.endswith("resumed=true") for each in second)
    assert second[-1].startswith("artifact_published")


def test_a_cancelled_job_has_the_lines_up_to_its_end(settings: Settings, database: Database, tmp_path: Path) -> None:
    with dispatching(settings, tmp_path), working(settings, tmp_path):
        job_id = insert_endless_job(settings, database)
        wait_until_it_prunes(database, job_id)
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
        eventually(lambda: job_row(database, job_id).state == JobState.CANCELLED)
        assert texts_of(database, job_id)[-1] == 'run_interrupted reason="the user cancelled the job"'
