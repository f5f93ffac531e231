"""SQL of the metrics over the jobs of all tenants."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import ColumnElement, Numeric, func, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.contract.states import HELD_STATES, JobState
from service.contract.sweeps import ENDED, SweepState
from service.contract.webhooks import DeliveryState
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.outbox import OutboxMessage
from service.database.tables.sweeps import Sweep
from service.database.tables.webhooks import Delivery

RECENT_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class JobCounts:
    """Number of jobs in one state."""

    total: int
    recent: int
    """Number of these that ended within `RECENT_SECONDS`."""


@dataclass(frozen=True)
class Backlog:
    """Length of one queue and age of its oldest entry; 0 seconds if it is empty."""

    count: int
    oldest_seconds: float


@dataclass(frozen=True)
class Leases:
    """Number of open attempts."""

    open: int
    past_due: int
    """Number of these whose lease has expired."""


def jobs_by_state(session: Session) -> Mapping[str, JobCounts]:
    """Return the counts of every state, in one pass over the jobs."""
    recent = func.count().filter(Job.finished_at > in_seconds(-RECENT_SECONDS))
    statement = select(Job.state, func.count(), recent).where(Job.deleted_at.is_(None)).group_by(Job.state)
    found = {state: JobCounts(total, ended) for state, total, ended in session.execute(statement)}
    return {state: found.get(state, JobCounts(0, 0)) for state in JobState}


def unfinished_sweeps(session: Session) -> Mapping[str, int]:
    """Return the number of sweeps in each state that is not an end."""
    statement = select(Sweep.state, func.count()).where(Sweep.finished_at.is_(None)).group_by(Sweep.state)
    found = dict(session.execute(statement).tuples().all())
    return {state: found.get(state, 0) for state in SweepState if state not in ENDED}


def outbox(session: Session) -> Backlog:
    """Return the outbox messages that are due and not yet sent."""
    statement = select(func.count(), func.coalesce(_age(OutboxMessage.due_at), 0)).where(OutboxMessage.due_at <= func.now())
    count, age = session.execute(statement).one()
    return Backlog(count, float(age))


def webhooks(session: Session) -> Backlog:
    """Return the webhook messages that are due and not yet sent."""
    due = Delivery.state == DeliveryState.PENDING, Delivery.next_attempt_at <= func.now()
    count, age = session.execute(select(func.count(), func.coalesce(_age(Delivery.next_attempt_at), 0)).where(*due)).one()
    return Backlog(count, float(age))


def leases(session: Session) -> Leases:
    """Return the number of open attempts, and of those with an expired lease."""
    overdue = func.count().filter(Attempt.lease_expires_at < func.now(), Job.state.in_(HELD_STATES))
    statement = select(func.count(), overdue).join(Job, Job.id == Attempt.job_id).where(Attempt.ended_at.is_(None))
    count, past_due = session.execute(statement).one()
    return Leases(count, past_due)


def _age(since: InstrumentedAttribute[datetime]) -> ColumnElement[Decimal]:
    """Return the seconds since the earliest time; NULL without rows."""
    return type_coerce(func.extract("epoch", func.now() - func.min(since)), Numeric())
