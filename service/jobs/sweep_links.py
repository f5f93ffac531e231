"""SQL of what jobs and sweeps share: a sweep's events, and its reopening when one of its jobs is retried."""

from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.contract.sweeps import SweepEventType, SweepState
from service.database.engine import insert_row
from service.database.tables.sweeps import Sweep, SweepEvent


def append(session: Session, sweep_id: UUID, event: SweepEventType, data: dict[str, Any] | None = None) -> int:
    """Append an event to the sweep and return its number; the row is locked until the transaction ends, as for a job's events."""
    counted = update(Sweep).where(Sweep.id == sweep_id).values(event_seq=Sweep.event_seq + 1).returning(Sweep.event_seq)
    number = session.execute(counted, execution_options={"synchronize_session": False}).scalar_one()
    insert_row(session, SweepEvent, sweep_id=sweep_id, seq=number, type=event, data=data or {})
    return number


def reopen(session: Session, sweep_id: UUID, job_id: UUID | None = None) -> None:
    """Set an ended sweep to running again, because a point (`job_id`) is retried or the search is to continue."""
    ended = select(Sweep.id).where(Sweep.id == sweep_id, Sweep.finished_at.is_not(None)).with_for_update()
    if session.scalars(ended).one_or_none() is None:
        return
    values = {"state": SweepState.RUNNING, "finished_at": None, "error": None}
    session.execute(update(Sweep).where(Sweep.id == sweep_id).values(**values), execution_options={"synchronize_session": False})
    append(session, sweep_id, SweepEventType.REOPENED, {"job_id": str(job_id)} if job_id else {})
