"""Queries behind the pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.contract.states import JobState
from service.dashboard import repository
from service.dashboard.attention import EXPIRES_SOON_SECONDS, Notice, notices
from service.dashboard.repository import Hour, Queue, Reason, UsedModel
from service.database.engine import Database, Session
from service.database.tables.audit import AuditEntry
from service.database.tables.jobs import Job
from service.jobs import repository as job_repository
from service.kit.pagination import Page
from service.planning.eta import Eta, eta
from service.settings import Settings
from service.tenants.audit import operations as audit
from service.tenants.audit.repository import EntryFilter
from service.tenants.keys import repository as keys
from service.webhooks import repository as webhooks
from service.workers import repository as workers
from service.workers.schemas import WorkerView

_MOST_UNDER_WAY: Final = 20
_MOST_REASONS: Final = 10
_MOST_RESULTS: Final = 10
_MOST_MODELS: Final = 200


@dataclass(frozen=True)
class Overview:
    """Tenant's jobs, all workers, and notices about faults."""

    now: datetime
    states: Mapping[JobState, int]
    queue: Queue
    under_way: Sequence[Job]
    reasons: Sequence[Reason]
    hours: Sequence[Hour]
    workers: Sequence[WorkerView]
    results: Sequence[Job]
    """Jobs that succeeded in the last seven days, newest first."""
    notices: Sequence[Notice]
    drained: Eta | None
    """Expected start and end of the last queued job."""

    @property
    def is_new(self) -> bool:
        """Whether the tenant has no job."""
        return not any(self.states.values())


def overview(database: Database, settings: Settings, *, tenant: str) -> Overview:
    """Return the data of the overview page; counts and lists are read in one transaction."""
    with database.begin() as session:
        last = repository.last_queued(session, tenant)
    drained = eta(database, settings, last) if last else None
    with database.begin() as session:
        now, seen = job_repository.now(session), _workers(session, settings, tenant)
        return Overview(
            now,
            repository.by_state(session, tenant),
            repository.queue(session, tenant),
            repository.under_way(session, tenant, limit=_MOST_UNDER_WAY),
            repository.failures(session, tenant, limit=_MOST_REASONS),
            repository.throughput(session, tenant),
            seen,
            repository.results(session, tenant, limit=_MOST_RESULTS),
            notices(seen, webhooks.standings(session, tenant), keys.expiring(session, tenant, seconds=EXPIRES_SOON_SECONDS), now),
            drained,
        )


def now(database: Database) -> datetime:
    """Return the time of the database, whose clock decides expiry."""
    with database.begin() as session:
        return job_repository.now(session)


def workers_now(database: Database, settings: Settings, *, tenant: str) -> tuple[datetime, Sequence[WorkerView]]:
    """Return the workers and the time at which they were read."""
    with database.begin() as session:
        return job_repository.now(session), _workers(session, settings, tenant)


def _workers(session: Session, settings: Settings, tenant: str) -> list[WorkerView]:
    found = workers.occupations(session, silent_seconds=settings.lease_seconds)
    return [WorkerView.of(each, tenant=tenant) for each in found]


def models(database: Database, *, tenant: str, source: str | None = None) -> Sequence[str]:
    """Return names of the tenant's models, of one source if it is given, as suggestions."""
    with database.begin() as session:
        return repository.models(session, tenant, source=source, limit=_MOST_MODELS)


def entries(
    database: Database, wanted: EntryFilter, *, tenant: str, cursor: str | None, limit: int
) -> tuple[Page[AuditEntry], Mapping[str, str]]:
    """Return a page of the audit log and the names of its keys. Raise InvalidInput for an invalid cursor."""
    found = audit.list_newest(database, wanted, tenant=tenant, cursor=cursor, limit=limit)
    with database.begin() as session:
        return found, repository.key_names(session, tenant, {entry.key_id for entry in found.items if entry.key_id})


def used_models(database: Database, *, tenant: str, limit: int) -> Sequence[UsedModel]:
    """Return the models used by the tenant's jobs, most recent first."""
    with database.begin() as session:
        return repository.used_models(session, tenant, limit=limit)
