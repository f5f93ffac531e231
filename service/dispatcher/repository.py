"""SQL of what the dispatcher looks for. Rows come locked, and those another dispatcher works on are skipped."""

from collections.abc import Collection, Sequence
from typing import TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from service.contract import JobState, sources_of
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.jobs.attempts.repository import HELD_STATES

_BATCH = 100
_Columns = TypeVarTuple("_Columns")


def lost_attempts(session: Session) -> Sequence[tuple[UUID, int]]:
    """Job and fence of attempts whose lease has run out."""
    statement = (
        select(Job.id, Job.fence)
        .join(Attempt, (Attempt.job_id == Job.id) & Attempt.ended_at.is_(None))
        .where(Attempt.lease_expires_at < func.now(), Job.state.in_(HELD_STATES))
        .order_by(Attempt.lease_expires_at)
    )
    return [(job_id, fence) for job_id, fence in session.execute(_locked(statement))]


def past_queue_deadline(session: Session) -> Sequence[UUID]:
    """Jobs that waited too long for their first attempt."""
    never_started = Job.state.in_(sources_of(JobState.EXPIRED)), Job.started_at.is_(None)
    return session.scalars(_locked(select(Job.id).where(Job.queue_deadline_at < func.now(), *never_started))).all()


def past_run_deadline(session: Session) -> Sequence[UUID]:
    """Jobs whose first attempt began too long ago, whether they run now or wait for another. None being cancelled."""
    states = [state for state in sources_of(JobState.FAILED) if state != JobState.CANCELLING]
    return session.scalars(_locked(select(Job.id).where(Job.run_deadline_at < func.now(), Job.state.in_(states)))).all()


def claimable(session: Session, device: str) -> int:
    """How many jobs that want this device class, or any, a worker could take now."""
    return session.execute(select(func.count()).where(*_claimable(device))).scalar_one()


def take_unclaimed(session: Session, device: str, *, resend_seconds: float, limit: int) -> Sequence[UUID]:
    """Up to `limit` claimable jobs whose message went out `resend_seconds` ago or earlier, noted as sent anew."""
    overdue = func.coalesce(Job.sent_at, Job.available_at) < in_seconds(-resend_seconds)
    statement = select(Job.id).where(*_claimable(device), overdue).order_by(Job.priority.desc(), Job.created_at).limit(limit)
    ids = session.scalars(statement.with_for_update(skip_locked=True)).all()
    mark_sent(session, ids)
    return ids


def mark_sent(session: Session, job_ids: Sequence[UUID]) -> None:
    """Note that the broker has been told of these jobs, where they still wait."""
    waiting = update(Job).where(Job.id.in_(job_ids), Job.state == JobState.QUEUED)
    session.execute(waiting.values(sent_at=func.now()), execution_options={"synchronize_session": False})


def running_fences(session: Session, job_ids: Collection[UUID]) -> dict[UUID, int]:
    """Of these jobs, those that an attempt holds now, with its fence. Not locked: what is read is soon old."""
    return dict(session.execute(select(Job.id, Job.fence).where(Job.id.in_(job_ids), Job.state.in_(HELD_STATES))).tuples().all())


def _claimable(device: str) -> tuple[ColumnElement[bool], ...]:
    return Job.state.in_(sources_of(JobState.RUNNING)), Job.available_at <= func.now(), Job.device == device


def _locked(statement: Select[*_Columns]) -> Select[*_Columns]:
    return statement.limit(_BATCH).with_for_update(of=Job, skip_locked=True)
