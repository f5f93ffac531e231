"""Reading of job events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.contract.states import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.database.tables.events import JobEvent
from service.jobs import repository as jobs
from service.jobs.events import repository
from service.jobs.operations import JobNotFound

_BATCH: Final = 200


@dataclass(frozen=True)
class Batch:
    """A batch of a job's events, oldest first."""

    events: Sequence[JobEvent]
    state: JobState
    is_last: bool
    """Whether there are no later events yet."""

    @property
    def end(self) -> JobState | None:
        """Final state, if there will be no later events, because the job has ended."""
        return self.state if self.is_last and self.state in TERMINAL_STATES else None


def events_after(database: Database, job_id: UUID, number: int, *, tenant: str, limit: int = _BATCH) -> Batch:
    """Return up to `limit` events of the tenant's job with numbers above `number`.

    The job's row is read first: all events that it counts are visible to the second statement, so that no end is reported early.

    Raises:
        JobNotFound: the tenant has no such job.
    """
    with database.begin() as session:
        job = jobs.get(session, job_id, tenant=tenant)
        if job is None:
            raise JobNotFound(job_id)
        events = repository.after(session, job_id, number, limit)
    last = events[-1].seq if events else number
    return Batch(events, JobState(job.state), last >= job.event_seq)
