"""Reading of log lines."""

from uuid import UUID

from service.contract.states import TERMINAL_STATES
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.database.tables.logs import JobLogLine
from service.jobs import repository as jobs
from service.jobs.events.operations import BATCH, Batch
from service.jobs.logs import repository
from service.jobs.logs.repository import ALL, LineFilter
from service.jobs.operations import JobNotFound


def lines_after(
    database: Database, job_id: UUID, number: int, *, tenant: str, wanted: LineFilter = ALL, limit: int = BATCH
) -> Batch[JobLogLine]:
    """Return up to `limit` lines of the tenant's job with numbers above `number`. Raises JobNotFound.

    The job's row is read first: a worker writes its lines before it ends the attempt, so that no end is reported early. The
    newest number is read before the lines, so that the next batch skips what the conditions have left out.
    """
    with database.begin() as session:
        job = _job(session, job_id, tenant)
        newest = repository.newest(session, job_id)
        lines = repository.after(session, job_id, number, wanted, limit)
    is_last = len(lines) < limit
    last = lines[-1].seq if lines else number
    end = job.state if is_last and job.state in TERMINAL_STATES else None
    return Batch(lines, max(last, newest) if is_last else last, is_last, end)


def start_of_tail(database: Database, job_id: UUID, count: int, *, tenant: str, wanted: LineFilter = ALL) -> int:
    """Return the number after which the last `count` lines begin. Raises JobNotFound."""
    with database.begin() as session:
        _job(session, job_id, tenant)
        return repository.start_of_tail(session, job_id, wanted, count)


def _job(session: Session, job_id: UUID, tenant: str) -> Job:
    job = jobs.get(session, job_id, tenant=tenant)
    if job is None:
        raise JobNotFound(job_id)
    return job
