"""Jobs that ended without a worker, with files in a local store, and times set back."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import update

from service.contract.artifacts import artifact_prefix, blocks_prefix
from service.contract.devices import DeviceClass
from service.contract.failures import Failure, FailureCode
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.workers import Worker
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.settings import Settings
from tests.support.job_rows import insert_job

LOST = Failure(code=FailureCode.MODEL_NOT_FOUND, detail="a test", retryable=False)


def store_of(settings: Settings) -> Path:
    return Path(settings.artifact_url.removeprefix("file://"))


def put(settings: Settings, prefix: str) -> Path:
    """A file of an attempt, and what a killed upload leaves beside it."""
    folder = store_of(settings) / prefix
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "model.safetensors#1").write_bytes(b"part")
    return folder


def claim(database: Database) -> repository.Claim:
    with database.begin() as session:
        found = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=60)
    assert found is not None
    return found


def write(database: Database, statement: Callable[..., None], claim: repository.Claim, *args: Any, **kwargs: Any) -> None:
    with database.begin() as session:
        statement(session, claim.job_id, claim.fence, *args, **kwargs)


def ended(database: Database, settings: Settings, how: str, *, size: int = 10, tenant: str = "test") -> tuple[UUID, Path, Path]:
    """A job whose only attempt ended like this; the folders of its attempt and of its blocks."""
    insert_job(database, tenant=tenant)
    found = claim(database)
    if how == "succeeded":
        prefix = artifact_prefix(found.job_id, found.fence)
        write(database, transitions.succeed, found, metrics={"bytes": size}, artifact_prefix=prefix)
    elif how == "failed":
        write(database, transitions.fail, found, LOST, retry_seconds=0)
    else:
        write(database, transitions.expire_lease, found)
    return found.job_id, put(settings, artifact_prefix(found.job_id, found.fence)), put(settings, blocks_prefix(found.job_id))


def make_older(database: Database, seconds: float) -> None:
    """As if all that has ended had ended so much earlier."""
    earlier = timedelta(seconds=seconds)
    with database.begin() as session:
        session.execute(update(Job).where(Job.finished_at.is_not(None)).values(finished_at=Job.finished_at - earlier))
        session.execute(update(Attempt).where(Attempt.ended_at.is_not(None)).values(ended_at=Attempt.ended_at - earlier))
        session.execute(update(Worker).values(seen_at=Worker.seen_at - earlier))
