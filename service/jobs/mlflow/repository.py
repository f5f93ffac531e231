"""SQL of the jobs to be logged to MLflow."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.contract.mlflow import MlflowLog, MlflowState
from service.contract.states import EventType
from service.database.engine import in_seconds, insert_row
from service.database.tables.jobs import Job
from service.database.tables.mlflow import MlflowExport
from service.jobs.events import repository as events

_DUE: Final = MlflowExport.next_attempt_at <= func.now()
_EVENTS: Final = {MlflowState.LOGGED: EventType.MLFLOW_LOGGED, MlflowState.FAILED: EventType.MLFLOW_FAILED}


@dataclass(frozen=True)
class DueExport:
    """Job leased for one attempt."""

    job_id: UUID
    attempt: int
    """Number of the attempt, from 1."""


def add(session: Session, job_id: UUID) -> None:
    """Add a succeeded job."""
    insert_row(session, MlflowExport, job_id=job_id)


def add_again(session: Session, job: Job) -> None:
    """Add a succeeded job again, whatever became of it; no change while an attempt is due."""
    known = MlflowLog.model_validate(job.mlflow or {"state": MlflowState.PENDING})
    again = known.model_copy(update={"state": MlflowState.PENDING, "error": None, "attempts": 0, "next_attempt_at": None})
    if session.execute(insert(MlflowExport).values(job_id=job.id).on_conflict_do_nothing().returning(MlflowExport.job_id)).all():
        job.mlflow = again.model_dump(mode="json", exclude_none=True)


def take(session: Session, *, lease_seconds: float) -> DueExport | None:
    """Lease the job that has been due the longest."""
    oldest = select(MlflowExport.job_id).where(_DUE).order_by(MlflowExport.next_attempt_at).limit(1)
    locked = oldest.with_for_update(skip_locked=True).cte("oldest")  # a plan may run a subquery once per row
    taken = (
        update(MlflowExport)
        .where(MlflowExport.job_id == locked.c.job_id)
        .values(attempts=MlflowExport.attempts + 1, next_attempt_at=in_seconds(lease_seconds))
        .returning(MlflowExport.job_id, MlflowExport.attempts)
    )
    row = session.execute(taken, execution_options={"synchronize_session": False}).one_or_none()
    return None if row is None else DueExport(*row)


def postpone_due(session: Session, *, seconds: float) -> None:
    """Postpone all due jobs, without counting an attempt."""
    session.execute(
        update(MlflowExport).where(_DUE).values(next_attempt_at=in_seconds(seconds)),
        execution_options={"synchronize_session": False},
    )


def job_of(session: Session, due: DueExport) -> Job | None:
    """Return the job of an attempt; None if it was deleted, and then nothing is due any more."""
    job = session.scalars(select(Job).where(Job.id == due.job_id, Job.deleted_at.is_(None))).one_or_none()
    if job is None:
        _remove(session, due.job_id)
    return job


def write(session: Session, due: DueExport, outcome: MlflowLog, *, wait_seconds: float | None) -> bool:
    """Record the outcome of an attempt; return False if a later attempt has begun, or the job was deleted.

    Args:
        wait_seconds: time to the next attempt; None after the last one.
    """
    job = session.scalars(select(Job.id).where(Job.id == due.job_id, Job.deleted_at.is_(None)).with_for_update()).one_or_none()
    is_last = (MlflowExport.job_id == due.job_id) & (MlflowExport.attempts == due.attempt)
    if job is None or session.execute(select(MlflowExport.job_id).where(is_last).with_for_update()).one_or_none() is None:
        return False
    stored = outcome.model_dump(mode="json", exclude_none=True)
    session.execute(
        update(Job).where(Job.id == due.job_id).values(mlflow=stored), execution_options={"synchronize_session": False}
    )
    if wait_seconds is None:
        _remove(session, due.job_id)
        events.append(session, due.job_id, _EVENTS[outcome.state], {name: stored[name] for name in stored if name != "state"})
    else:
        later = update(MlflowExport).where(is_last).values(next_attempt_at=in_seconds(wait_seconds))
        session.execute(later, execution_options={"synchronize_session": False})
    return True


def _remove(session: Session, job_id: UUID) -> None:
    gone = delete(MlflowExport).where(MlflowExport.job_id == job_id)
    session.execute(gone, execution_options={"synchronize_session": False})
