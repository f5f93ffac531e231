"""SQL of job events: append with the next number, and read from a number on."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.contract.states import EventType
from service.database.engine import insert_row
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job


def append(session: Session, job_id: UUID, event: EventType, data: dict[str, Any] | None = None) -> int:
    """Append an event to the job and return its number.

    The update locks the job's row until the transaction ends, so numbers have no gaps and become visible in their order.
    """
    number = _next_number(session, job_id)
    insert_row(session, JobEvent, job_id=job_id, seq=number, type=event, data=data or {})
    return number


def _next_number(session: Session, job_id: UUID) -> int:
    statement = update(Job).where(Job.id == job_id).values(event_seq=Job.event_seq + 1).returning(Job.event_seq)
    return session.execute(statement, execution_options={"synchronize_session": False}).scalar_one()


def after(session: Session, job_id: UUID, number: int, limit: int) -> Sequence[JobEvent]:
    """Return up to `limit` events with numbers above `number`, oldest first."""
    statement = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > number).order_by(JobEvent.seq).limit(limit)
    return session.scalars(statement).all()
