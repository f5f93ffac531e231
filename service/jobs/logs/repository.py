"""SQL of log lines: append under the fence of an attempt, read from a number on, delete by age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from service.contract.logs import LogLevel
from service.contract.messages import LOGS_CHANNEL
from service.database.engine import delete_batch, in_seconds, insert_rows
from service.database.tables.jobs import Job
from service.database.tables.logs import JobLogLine
from service.jobs.attempts.repository import StaleFence


@dataclass(frozen=True)
class NewLine:
    """Log line that a worker writes."""

    level: int
    stage: str | None
    text: str
    bytes: int
    age_seconds: float
    """Seconds since it was logged, by the worker's monotonic clock: stored times are the database's."""


@dataclass(frozen=True)
class LineFilter:
    """Conditions on log lines; None: no condition."""

    attempt: int | None = None
    level: LogLevel | None = None
    """Minimum level."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions in SQL."""
        of_attempt = [] if self.attempt is None else [JobLogLine.attempt == self.attempt]
        return of_attempt if self.level is None else [*of_attempt, JobLogLine.level >= self.level.number]


ALL: Final = LineFilter()


def append(session: Session, job_id: UUID, fence: int, attempt: int, lines: Sequence[NewLine]) -> None:
    """Append lines to the job's log with the next numbers, and notify listeners on commit.

    The job's row is locked against changes of the fence but not updated, so that its version stays. The state does not matter:
    until the next claim, an attempt that has ended may write its last lines. An attempt writes one batch at a time.

    Raises:
        StaleFence: nothing was written.
    """
    held = select(func.now()).where(Job.id == job_id, Job.fence == fence).with_for_update(read=True, of=Job)
    now: datetime | None = session.execute(held).scalar_one_or_none()
    if now is None:
        raise StaleFence(job_id, fence)
    rows = [
        {
            "job_id": job_id,
            "seq": number,
            "attempt": attempt,
            "level": line.level,
            "stage": line.stage,
            "text": line.text,
            "bytes": line.bytes,
            "created_at": now - timedelta(seconds=line.age_seconds),
        }
        for number, line in enumerate(lines, newest(session, job_id) + 1)
    ]
    insert_rows(session, JobLogLine, rows)
    session.execute(select(func.pg_notify(LOGS_CHANNEL, str(job_id))))


def newest(session: Session, job_id: UUID) -> int:
    """Return the number of the job's newest line; 0 if it has none."""
    return session.scalars(select(func.coalesce(func.max(JobLogLine.seq), 0)).where(JobLogLine.job_id == job_id)).one()


def kept_bytes(session: Session, job_id: UUID) -> int:
    """Return the bytes of the job's lines that count for its bound."""
    return session.scalars(select(func.coalesce(func.sum(JobLogLine.bytes), 0)).where(JobLogLine.job_id == job_id)).one()


def after(session: Session, job_id: UUID, number: int, wanted: LineFilter, limit: int) -> Sequence[JobLogLine]:
    """Return up to `limit` lines with numbers above `number`, oldest first."""
    ours = select(JobLogLine).where(JobLogLine.job_id == job_id, JobLogLine.seq > number, *wanted.conditions())
    return session.scalars(ours.order_by(JobLogLine.seq).limit(limit)).all()


def start_of_tail(session: Session, job_id: UUID, wanted: LineFilter, count: int) -> int:
    """Return the number after which the last `count` lines begin."""
    ours = select(JobLogLine.seq).where(JobLogLine.job_id == job_id, *wanted.conditions())
    last = ours.order_by(JobLogLine.seq.desc()).limit(count).subquery()
    first: int | None = session.scalars(select(func.min(last.c.seq))).one()
    return (first or 1) - 1


def forget(session: Session, *, keep_seconds: float) -> int:
    """Delete up to a batch of lines that are older; return their number."""
    return delete_batch(session, JobLogLine, JobLogLine.created_at < in_seconds(-keep_seconds))
