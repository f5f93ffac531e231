"""Reading of job events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

from service.contract.states import TERMINAL_STATES
from service.contract.sweeps import ENDED
from service.database.engine import Database
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep, SweepEvent
from service.jobs import repository as jobs
from service.jobs.events import repository
from service.jobs.operations import JobNotFound

BATCH: Final = 200
_FINAL: Final[frozenset[str]] = frozenset({*TERMINAL_STATES, *ENDED})
"""Final states of jobs and of sweeps; a name that both have is final for both."""

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True)
class Batch(Generic[Item]):
    """Batch of numbered items, oldest first: events of a job or sweep, or log lines."""

    items: Sequence[Item]
    position: int
    """Number after which the next batch begins."""
    is_last: bool
    """Whether there are no later items yet."""
    end: str | None
    """Final state, if these are the last items; a sweep may be reopened."""

    @staticmethod
    def of(events: Sequence[JobEvent | SweepEvent], after: int, subject: Job | Sweep) -> "EventBatch":
        """Return the events above number `after` as a batch; the subject's row was read before them.

        All events that the row counts are visible to a later statement, so that no end is reported early.
        """
        last = events[-1].seq if events else after
        is_last = last >= subject.event_seq
        return Batch(events, last, is_last, subject.state if is_last and subject.state in _FINAL else None)


EventBatch = Batch[JobEvent | SweepEvent]


def events_after(database: Database, job_id: UUID, number: int, *, tenant: str, limit: int = BATCH) -> EventBatch:
    """Return up to `limit` events of the tenant's job with numbers above `number`. Raises JobNotFound."""
    with database.begin() as session:
        job = jobs.get(session, job_id, tenant=tenant)
        if job is None:
            raise JobNotFound(job_id)
        return Batch.of(repository.after(session, job_id, number, limit), number, job)
