"""A job that is long enough to be disturbed while it prunes, and what has to be true of it in the end."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import func, update

from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support.job_rows import attempts_of, events_of, insert_job, job_row
from tests.support.processes import Worker
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually

LEASE_SECONDS = 6.0
"""For the tests whose subject is that a lease runs out by the clock."""
LONG = {"dataset": "c4-sample:test", "num_samples": 128, "sequence_length": 128}
BRISK = {"dataset": "c4-sample:test", "num_samples": 32, "sequence_length": 128}
"""For jobs that are disturbed in the test's own process."""


def save_slow_model(settings: Settings) -> None:
    save_model(settings.model_root / "slow", layers=10, width=64)


def insert_long_job(database: Database, calibration: dict[str, object] = LONG, **fields: Any) -> UUID:
    return insert_job(database, model={"source": "local", "id": "slow"}, calibration=calibration, **fields)


def insert_endless_job(settings: Settings, database: Database, **fields: Any) -> UUID:
    """For jobs that are cancelled: no machine gets through them while a worker stops, and the first block takes no time."""
    save_model(settings.model_root / "endless", layers=100, width=64)
    return insert_job(database, model={"source": "local", "id": "endless"}, calibration=LONG, **fields)


def wait_until_it_prunes(database: Database, job_id: UUID, attempt: int = 1) -> None:
    eventually(lambda: is_pruning(database, job_id, attempt))


def is_pruning(database: Database, job_id: UUID, attempt: int) -> bool:
    job = job_row(database, job_id)
    assert job.finished_at is None, job.state
    return job.attempts_started == attempt and job.stage == "pruning" and (job.progress or {}).get("done", 0) > 0


def wait_for_attempt(database: Database, job_id: UUID, number: int) -> None:
    eventually(lambda: job_row(database, job_id).attempts_started == number)


def expire_lease(database: Database, job_id: UUID) -> None:
    """End the lease of the open attempt at once; its worker must be unable to renew it."""
    with database.begin() as session:
        session.execute(
            update(Attempt)
            .where(Attempt.job_id == job_id, Attempt.ended_at.is_(None))
            .values(lease_expires_at=func.now() - timedelta(seconds=1))
        )


def wait_until_it_succeeds(database: Database, job_id: UUID) -> None:
    eventually(lambda: job_row(database, job_id).finished_at)
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def assert_one_artifact_and_nothing_else(settings: Settings, database: Database, *job_ids: UUID) -> None:
    """What is left on disk when all is done and a dispatcher has swept: of every job its artifact, whole."""
    store = Path(settings.artifact_url.removeprefix("file://"))
    folders = {store / str(job_row(database, job_id).artifact_prefix) for job_id in job_ids}
    assert len(folders) == len(job_ids)
    eventually(lambda: {path.parent for path in (store / "jobs").rglob("*") if path.is_file()} == folders)
    assert {path.parent for path in store.rglob("manifest.json")} == folders
    assert [path for path in settings.cache_dir.rglob("*") if path.is_file()] == []


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=CEILING_SECONDS)
    assert alive == []


def end_job(database: Database, job_id: UUID) -> None:
    """Cancel it, so that the workers can go."""
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
    eventually(lambda: job_row(database, job_id).finished_at)


def weights(settings: Settings, database: Database, job_id: UUID) -> bytes:
    """The bytes of the artifact's weights."""
    prefix = job_row(database, job_id).artifact_prefix
    assert prefix is not None
    return (Path(settings.artifact_url.removeprefix("file://")) / prefix / "model.safetensors").read_bytes()


def blocks_of(database: Database, job_id: UUID) -> list[tuple[int, int]]:
    """Of every attempt: how many blocks it finished, and how many of them it had from earlier ones."""
    counts: list[tuple[int, int]] = []
    for event in events_of(database, job_id):
        if event.type == "attempt_started":
            counts.append((0, 0))
        elif event.type == "block_pruned":
            done, resumed = counts[-1]
            counts[-1] = (done + 1, resumed + bool(event.data["resumed"]))
    return counts


def assert_at_most_one_block_was_lost_each_time(database: Database, job_id: UUID) -> None:
    counts = blocks_of(database, job_id)
    for (done, _), (_, resumed) in pairwise(counts):
        assert resumed >= done - 1, counts


def busy_one(database: Database, job_id: UUID, *workers: Worker) -> Worker:
    """The worker that has the job."""
    pid = int(attempts_of(database, job_id)[-1].worker.rpartition(":")[2])
    (found,) = [worker for worker in workers if worker.process.pid == pid]
    return found
