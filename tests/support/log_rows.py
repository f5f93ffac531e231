"""Log lines put straight into the database, and those that are there."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update

from service.contract.logs import ROW_BYTES, LogLevel
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.logs import JobLogLine
from service.jobs.logs import repository
from service.jobs.logs.repository import ALL, NewLine


def write_lines(database: Database, job_id: UUID, *texts: str, attempt: int = 1, level: LogLevel = LogLevel.INFO) -> None:
    """Append lines as the worker that holds the job does."""
    lines = [NewLine(level.number, "pruning", text, len(text) + ROW_BYTES, 0.0) for text in texts]
    with database.begin() as session:
        fence = session.get_one(Job, job_id).fence
        repository.append(session, job_id, fence, attempt, lines)


def lines_of(database: Database, job_id: UUID) -> Sequence[JobLogLine]:
    with database.begin() as session:
        return repository.after(session, job_id, 0, ALL, 100_000)


def texts_of(database: Database, job_id: UUID) -> list[str]:
    return [line.text for line in lines_of(database, job_id)]


def count_lines(database: Database) -> int:
    with database.begin() as session:
        return session.scalars(select(func.count()).select_from(JobLogLine)).one()


def make_lines_older(database: Database, job_id: UUID, seconds: float) -> None:
    with database.begin() as session:
        ours = update(JobLogLine).where(JobLogLine.job_id == job_id)
        session.execute(ours.values(created_at=JobLogLine.created_at - timedelta(seconds=seconds)))
