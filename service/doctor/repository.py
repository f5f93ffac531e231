"""SQL of what the doctor wants to know of the database and the queue."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from service.contract import JobState
from service.jobs.tables import Job
from service.outbox.tables import OutboxMessage


@dataclass(frozen=True)
class Server:
    """The database server: its version, and what time it thinks it is."""

    version: str
    now: datetime


def server(session: Session) -> Server:
    return Server(*session.execute(select(func.current_setting("server_version"), func.clock_timestamp())).one())


def oldest_message_seconds(session: Session) -> float | None:
    """For how long the outbox's first message has been due; None if there is none."""
    age = func.extract("epoch", func.now() - func.min(OutboxMessage.due_at))
    return session.execute(select(age).where(OutboxMessage.due_at <= func.now())).scalar_one()


def waiting(session: Session) -> dict[str, tuple[int, float]]:
    """By device: how many jobs could be claimed now, and for how many seconds the oldest of them has waited."""
    age = func.extract("epoch", func.now() - func.min(Job.available_at))
    claimable = Job.state == JobState.QUEUED, Job.available_at <= func.now()
    rows = session.execute(select(Job.device, func.count(), age).where(*claimable).group_by(Job.device))
    return {device: (count, float(seconds)) for device, count, seconds in rows}


def can_write(session: Session) -> bool:
    """A standby, or a server that was set to read-only, accepts no job."""
    return str(session.execute(text("SHOW transaction_read_only")).scalar_one()) == "off"
