"""Reading a job's events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.contract import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.database.tables.events import JobEvent
from service.jobs import repository as jobs
from service.jobs.events import repository
from service.jobs.operations import JobNotFound

_BATCH: Final = 200


@dataclass(frozen=True)
class Batch:
    """Some of a job's events, oldest first."""

    events: Sequence[JobEvent]
    state: JobState
    is_last: bool
    """There are no later ones now."""

    @property
    def ends_the_job(self) -> bool:
        """There will be no later ones, either."""
        return self.is_last and self.state in TERMINAL_STATES


def events_after(database: Database, job_id: UUID, number: int, *, tenant: str, limit: int = _BATCH) -> Batch:
    """Up to `limit` events of the tenant's job with numbers above `number`.

    The job's row is read first: whatever it counts is visible to the second statement, so that an end is never told too early.

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
