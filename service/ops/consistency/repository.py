"""SQL of the comparison with the artifact store, and of its repair."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.contract.states import AttemptOutcome, EventType
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.datasets import UploadedDataset
from service.database.tables.jobs import Job
from service.jobs.events import repository as events

_BATCH: Final = 1000
_BLIND: Final[dict[str, Any]] = {"synchronize_session": False}
_KEPT: Final = (Job.artifact_prefix.is_not(None), Job.artifact_removed_at.is_(None), Job.deleted_at.is_(None))


@dataclass(frozen=True)
class Owner:
    """Job with its attempts' fences, and the prefix of its artifact if readers may have it."""

    artifact: str | None
    fences: set[int] = field(default_factory=set)


def owners(session: Session, job_ids: Collection[UUID]) -> dict[UUID, Owner]:
    """Return those of the jobs that the database knows, also deleted ones whose files garbage collection has yet to remove."""
    is_kept = Job.artifact_removed_at.is_(None) & Job.deleted_at.is_(None)
    rows = session.execute(select(Job.id, Job.artifact_prefix, is_kept).where(Job.id.in_(job_ids)))
    found = {job_id: Owner(prefix if kept else None) for job_id, prefix, kept in rows}
    for job_id, fence in session.execute(select(Attempt.job_id, Attempt.fence).where(Attempt.job_id.in_(job_ids))):
        if job_id in found:
            found[job_id].fences.add(fence)
    return found


def artifacts(database: Database) -> Iterator[Sequence[UUID]]:
    """Yield the jobs with an artifact that readers may have, in batches."""
    last = UUID(int=0)
    while True:
        with database.begin() as session:
            batch = session.scalars(select(Job.id).where(*_KEPT, Job.id > last).order_by(Job.id).limit(_BATCH)).all()
        if not batch:
            return
        yield batch
        last = batch[-1]


def sample(session: Session, count: int) -> set[UUID]:
    """Return `count` random jobs with an artifact."""
    return set(session.scalars(select(Job.id).where(*_KEPT).order_by(func.random()).limit(count)))


def datasets(session: Session) -> dict[str, UploadedDataset]:
    """Return the data sets by their paths in the store."""
    return {row.path: row for row in session.scalars(select(UploadedDataset).where(UploadedDataset.deleted_at.is_(None)))}


def paths_of_datasets(session: Session, paths: Collection[str]) -> set[str]:
    """Return those of the paths that a data set has, also a deleted one whose file garbage collection has yet to remove."""
    return set(session.scalars(select(UploadedDataset.path).where(UploadedDataset.path.in_(paths))))


def mark_artifact_missing(session: Session, job_id: UUID) -> bool:
    """Mark the artifact of a job as removed, so that garbage collection removes the rest of its files; False if it is already."""
    gone = update(Job).where(Job.id == job_id, *_KEPT).values(artifact_removed_at=func.now()).returning(Job.id)
    if session.scalars(gone, execution_options=_BLIND).one_or_none() is None:
        return False
    published = Attempt.job_id == job_id, Attempt.outcome == AttemptOutcome.SUCCEEDED
    session.execute(update(Attempt).where(*published).values(swept_at=None), execution_options=_BLIND)
    events.append(session, job_id, EventType.ARTIFACT_REMOVED, {"reason": "missing"})
    return True


def mark_dataset_missing(session: Session, upload_id: UUID) -> None:
    """Mark a data set as deleted."""
    gone = update(UploadedDataset).where(UploadedDataset.upload_id == upload_id).values(deleted_at=func.now())
    session.execute(gone, execution_options=_BLIND)
