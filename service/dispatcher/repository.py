"""SQL of the dispatcher. Rows are locked with SKIP LOCKED, so that dispatchers do not wait for each other."""

from collections.abc import Collection, Sequence
from typing import TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from service.contract.states import HELD_STATES, JobState, sources_of
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job

_BATCH = 100
_Columns = TypeVarTuple("_Columns")


def expired_leases(session: Session) -> Sequence[tuple[UUID, int]]:
    """Return job and fence of attempts whose lease has expired."""
    statement = (
        select(Job.id, Job.fence)
        .join(Attempt, (Attempt.job_id == Job.id) & Attempt.ended_at.is_(None))
        .where(Attempt.lease_expires_at < func.now(), Job.state.in_(HELD_STATES))
        .order_by(Attempt.lease_expires_at)
    )
    return [(job_id, fence) for job_id, fence in session.execute(_locked(statement))]


def past_queue_deadline(session: Session) -> Sequence[UUID]:
    """Return the jobs whose queue deadline passed before their first attempt."""
    never_started = Job.state.in_(sources_of(JobState.EXPIRED)), Job.started_at.is_(None)
    return session.scalars(_locked(select(Job.id).where(Job.queue_deadline_at < func.now(), *never_started))).all()


def past_run_deadline(session: Session) -> Sequence[UUID]:
    """Return the jobs whose run deadline has passed, running or queued again, except those being cancelled."""
    states = [state for state in sources_of(JobState.FAILED) if state != JobState.CANCELLING]
    return session.scalars(_locked(select(Job.id).where(Job.run_deadline_at < func.now(), Job.state.in_(states)))).all()


def mark_unclaimed_for_resend(session: Session, device: str, *, resend_seconds: float, limit: int) -> Sequence[UUID]:
    """Mark up to `limit` claimable jobs whose message is at least `resend_seconds` old as sent, and return them."""
    overdue = func.coalesce(Job.sent_at, Job.available_at) < in_seconds(-resend_seconds)
    statement = select(Job.id).where(*_claimable(device), overdue).order_by(Job.priority.desc(), Job.created_at).limit(limit)
    ids = session.scalars(statement.with_for_update(skip_locked=True)).all()
    mark_sent(session, ids)
    return ids


def mark_sent(session: Session, job_ids: Sequence[UUID]) -> None:
    """Set `sent_at` of those jobs that are still queued."""
    waiting = update(Job).where(Job.id.in_(job_ids), Job.state == JobState.QUEUED)
    session.execute(waiting.values(sent_at=func.now()), execution_options={"synchronize_session": False})


def running_fences(session: Session, job_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return the fence of each of these jobs that an attempt holds now; not locked, so possibly outdated."""
    return dict(session.execute(select(Job.id, Job.fence).where(Job.id.in_(job_ids), Job.state.in_(HELD_STATES))).tuples().all())


def _claimable(device: str) -> tuple[ColumnElement[bool], ...]:
    return Job.state.in_(sources_of(JobState.RUNNING)), Job.available_at <= func.now(), Job.device == device


def _locked(statement: Select[*_Columns]) -> Select[*_Columns]:
    return statement.limit(_BATCH).with_for_update(of=Job, skip_locked=True)
