"""SQL of uploaded data sets."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.database import keyset
from service.database.tables.datasets import JobDataset, UploadedDataset
from service.database.tables.jobs import Job
from service.kit.pagination import Cursor

_BATCH: Final = 100
_BLIND: Final[dict[str, Any]] = {"synchronize_session": False}
_LIVES: Final = UploadedDataset.deleted_at.is_(None)


def get(session: Session, dataset_id: str, *, tenant: str, lock: bool = False) -> UploadedDataset | None:
    """Return the tenant's upload, unless it is deleted; with `lock`, locked until the transaction ends."""
    statement = select(UploadedDataset).where(UploadedDataset.id == dataset_id, UploadedDataset.tenant == tenant, _LIVES)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def newest(session: Session, *, tenant: str, before: Cursor | None, limit: int) -> Sequence[UploadedDataset]:
    """Return up to `limit` of the tenant's uploads, newest first, older than the cursor."""
    statement = select(UploadedDataset).where(UploadedDataset.tenant == tenant, _LIVES)
    place = UploadedDataset.created_at, UploadedDataset.upload_id
    return keyset.newest(session, statement, *place, before=before, limit=limit)


def lock_tenant(session: Session, tenant: str) -> None:
    """Serialize the tenant's uploads, so that concurrent ones cannot exceed the quota."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"datasets {tenant}", 0))))


def bytes_of(session: Session, tenant: str) -> int:
    """Return the total size of the tenant's uploads in bytes."""
    total = select(func.coalesce(func.sum(UploadedDataset.bytes), 0)).where(UploadedDataset.tenant == tenant, _LIVES)
    return int(session.execute(total).scalar_one())


def held(session: Session, dataset_ids: Collection[str], *, tenant: str) -> dict[str, UUID]:
    """Return data set id → upload id of the existing ones, locked against deletion until the transaction ends."""
    statement = (
        select(UploadedDataset.id, UploadedDataset.upload_id)
        .where(UploadedDataset.id.in_(dataset_ids), UploadedDataset.tenant == tenant, _LIVES)
        .order_by(UploadedDataset.id)
        .with_for_update(read=True)
    )
    return dict(session.execute(statement).tuples().all())


def characters(session: Session, dataset_ids: Collection[str], *, tenant: str) -> dict[str, int]:
    """Return data set id → number of characters of the existing ones."""
    statement = select(UploadedDataset.id, UploadedDataset.characters)
    statement = statement.where(UploadedDataset.id.in_(dataset_ids), UploadedDataset.tenant == tenant, _LIVES)
    return dict(session.execute(statement).tuples().all())


def use(session: Session, job_id: UUID, upload_ids: Collection[UUID]) -> None:
    """Record that the job uses these uploads."""
    session.add_all(JobDataset(job_id=job_id, upload_id=each) for each in upload_ids)
    session.flush()


def using(session: Session, upload_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return upload id → number of unfinished jobs that use it; unused ones are omitted."""
    statement = (
        select(JobDataset.upload_id, func.count())
        .join(Job, Job.id == JobDataset.job_id)
        .where(JobDataset.upload_id.in_(upload_ids), Job.finished_at.is_(None))
        .group_by(JobDataset.upload_id)
    )
    return dict(session.execute(statement).tuples().all())


def user_of(session: Session, upload_id: UUID) -> UUID | None:
    """Return an unfinished job that uses the upload, if there is one."""
    statement = (
        select(Job.id)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .where(JobDataset.upload_id == upload_id, Job.finished_at.is_(None))
        .order_by(Job.created_at)
        .limit(1)
    )
    return session.scalars(statement).one_or_none()


def mark_deleted(session: Session, upload_id: UUID) -> None:
    """Soft-delete an upload; garbage collection removes its file, then its row."""
    gone = update(UploadedDataset).where(UploadedDataset.upload_id == upload_id).values(deleted_at=func.now())
    session.execute(gone, execution_options=_BLIND)


def deleted(session: Session, *, skip: int) -> Sequence[tuple[UUID, str]]:
    """Return a batch of soft-deleted uploads and the paths of their files, without the first `skip`."""
    statement = select(UploadedDataset.upload_id, UploadedDataset.path).where(UploadedDataset.deleted_at.is_not(None))
    order = UploadedDataset.deleted_at, UploadedDataset.upload_id
    return session.execute(statement.order_by(*order).offset(skip).limit(_BATCH)).tuples().all()


def forget(session: Session, upload_id: UUID) -> None:
    """Delete the row of a soft-deleted data set whose file is gone."""
    gone = UploadedDataset.upload_id == upload_id, UploadedDataset.deleted_at.is_not(None)
    session.execute(delete(UploadedDataset).where(*gone), execution_options=_BLIND)


def named(session: Session, paths: Collection[str]) -> set[str]:
    """Return the paths that belong to an upload."""
    return set(session.scalars(select(UploadedDataset.path).where(UploadedDataset.path.in_(paths))))
