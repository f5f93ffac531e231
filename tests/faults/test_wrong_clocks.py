"""Workers whose clock is wrong by an hour: only the database's clock counts."""

from pathlib import Path

import pytest

from service.database.engine import Database
from service.settings import Settings
from tests.support.job_rows import attempts_of, insert_job, job_row
from tests.support.processes import working
from tests.support.threads import dispatcher_threads
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually


@pytest.mark.parametrize("hours", ["-1", "+1"])
def test_a_wrong_clock_changes_nothing(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: str
) -> None:
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database, run_deadline_seconds=600, queue_deadline_seconds=600)
    with dispatcher_threads(settings):
        monkeypatch.setenv("WRONG_HOURS", hours)
        with working(settings, tmp_path, module="tests.support.wrong_clock_worker") as worker:
            eventually(lambda: job_row(database, job_id).finished_at)
            assert b"job_claimed" in worker.log.read_bytes()
    job, (attempt,) = job_row(database, job_id), attempts_of(database, job_id)
    assert (job.state, attempt.outcome) == ("succeeded", "succeeded")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    assert (job.finished_at - job.created_at).total_seconds() < 1800  # the wrong clock is an hour off
    assert attempt.started_at == job.started_at
