"""SQL of garbage collection in the artifact store.

A file is removed from the store first and marked as removed afterwards: a crash in between removes it twice. Attempts and jobs
that ended less than `grace_seconds` ago are skipped, because a worker that has lost its lease may not know it yet.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from service.contract.states import AttemptOutcome, EventType, JobState
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.jobs.events import repository as events
from service.jobs.repository import uses_artifact
from service.tenants.quotas.retention import past_retention

_BATCH: Final = 100
_KEPT: Final = (Job.artifact_prefix.is_not(None), Job.artifact_removed_at.is_(None))
_BLIND: Final[dict[str, Any]] = {"synchronize_session": False}


def unswept_attempts(session: Session, *, grace_seconds: float, skip: int) -> Sequence[tuple[UUID, int]]:
    """Return job and fence of ended attempts that may have left files: unsuccessful ones, and those of expired artifacts.

    `skip`, also below: number of the first results to leave out, because the store has refused to delete their files.
    """
    ended = Attempt.swept_at.is_(None), Attempt.ended_at < in_seconds(-grace_seconds)
    order = Attempt.ended_at, Attempt.job_id, Attempt.number
    return (
        session.execute(select(Attempt.job_id, Attempt.fence).where(*ended).order_by(*order).offset(skip).limit(_BATCH))
        .tuples()
        .all()
    )


def attempt_swept(session: Session, job_id: UUID, fence: int) -> None:
    """Mark the files of an attempt as removed."""
    swept = update(Attempt).where(Attempt.job_id == job_id, Attempt.fence == fence).values(swept_at=func.now())
    session.execute(swept, execution_options=_BLIND)


def jobs_with_blocks(session: Session, *, grace_seconds: float, keep_seconds: float, skip: int) -> Sequence[UUID]:
    """Return ended jobs whose blocks no attempt will resume from. A failed job's blocks are kept for `keep_seconds`."""
    is_over = or_(Job.state != JobState.FAILED, Job.finished_at < in_seconds(-keep_seconds))
    ended = Job.blocks_removed_at.is_(None), Job.finished_at < in_seconds(-grace_seconds)
    statement = select(Job.id).where(*ended, is_over).order_by(Job.finished_at, Job.id)
    return session.scalars(statement.offset(skip).limit(_BATCH)).all()


def blocks_removed(session: Session, job_id: UUID) -> None:
    """Mark the blocks of a job as removed."""
    session.execute(update(Job).where(Job.id == job_id).values(blocks_removed_at=func.now()), execution_options=_BLIND)


def expire_by_age(session: Session, *, keep_seconds: float | None) -> Sequence[UUID]:
    """Expire a batch of artifacts older than `keep_seconds` or their tenant's own retention; return their jobs."""
    own = TenantQuota.keep_artifacts_seconds
    old = past_retention(Job.finished_at, own, keep_seconds, *_KEPT, also=lambda _: [~_is_used()], limit=_BATCH)
    return _expire(session, Job.id.in_(old), "age")


def expire_by_quota(session: Session, *, max_bytes: int) -> Sequence[UUID]:
    """Expire each tenant's oldest artifacts until the rest fits; the newest one always stays. Return their jobs."""
    newest_first: dict[str, Any] = {"partition_by": Job.tenant, "order_by": (Job.finished_at.desc(), Job.id)}
    sums = (
        select(
            Job.id,
            func.sum(func.coalesce(Job.artifact_bytes, 0)).over(**newest_first).label("bytes"),
            func.row_number().over(**newest_first).label("number"),
        )
        .where(*_KEPT)
        .subquery()
    )
    beyond = select(sums.c.id).where(sums.c.bytes > max_bytes, sums.c.number > 1)
    return _expire(session, Job.id.in_(beyond), "quota")


def expire_of_sweep(session: Session, job_ids: Sequence[UUID]) -> None:
    """Expire the artifacts of points that a sweep does not keep, except those that an unfinished job prunes."""
    for start in range(0, len(job_ids), _BATCH):
        _expire(session, Job.id.in_(job_ids[start : start + _BATCH]), "sweep")


def bytes_of(session: Session, tenant: str) -> int:
    """Return the total bytes of the tenant's artifacts that have not expired."""
    total = select(func.coalesce(func.sum(Job.artifact_bytes), 0)).where(Job.tenant == tenant, *_KEPT)
    return int(session.execute(total).scalar_one() or 0)


def _expire(session: Session, which: ColumnElement[bool], reason: Literal["age", "quota", "sweep"]) -> Sequence[UUID]:
    batch = select(Job.id).where(*_KEPT, which, ~_is_used()).limit(_BATCH).with_for_update(skip_locked=True)
    job_ids = session.scalars(batch).all()
    gone = update(Job).where(Job.id.in_(job_ids)).values(artifact_removed_at=func.now())
    session.execute(gone, execution_options=_BLIND)
    published = Attempt.job_id.in_(job_ids), Attempt.outcome == AttemptOutcome.SUCCEEDED
    session.execute(update(Attempt).where(*published).values(swept_at=None), execution_options=_BLIND)
    for job_id in job_ids:
        events.append(session, job_id, EventType.ARTIFACT_REMOVED, {"reason": reason})
    return job_ids


def _is_used() -> ColumnElement[bool]:
    user = aliased(Job)
    return select(user.id).where(uses_artifact(user, Job.id, Job.tenant)).exists()


def deleted_jobs(session: Session, *, grace_seconds: float, skip: int) -> Sequence[UUID]:
    """Return deleted jobs whose files have to be removed."""
    gone = Job.deleted_at.is_not(None), Job.finished_at < in_seconds(-grace_seconds)
    return session.scalars(select(Job.id).where(*gone).order_by(Job.deleted_at, Job.id).offset(skip).limit(_BATCH)).all()


def forget(session: Session, job_id: UUID) -> None:
    """Delete the row of a deleted job that has no files left in the store, with all that belongs to it."""
    session.execute(delete(Job).where(Job.id == job_id, Job.deleted_at.is_not(None)), execution_options=_BLIND)
