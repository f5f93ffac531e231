"""Queries behind the pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from service.artifacts.operations import ArtifactNotFound, artifact_of
from service.contract.artifacts import Manifest
from service.contract.states import EventType, JobState
from service.dashboard import repository
from service.dashboard.memory import Point, by_block
from service.dashboard.repository import Hour, Queue, Reason, UsedModel
from service.dashboard.timeline import MILESTONES, Course, courses
from service.database.engine import Database, Session
from service.database.tables.audit import AuditEntry
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.webhooks import Webhook
from service.jobs import operations as jobs
from service.jobs import repository as job_repository
from service.kit.pagination import Page
from service.planning import eta as outlook
from service.planning.eta import Eta
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreUnavailable
from service.tenants.audit import operations as audit
from service.tenants.audit.repository import EntryFilter
from service.webhooks import operations as webhooks
from service.webhooks.schemas import DeliveryView
from service.workers import repository as workers
from service.workers.schemas import WorkerView

_MOST_UNDER_WAY: Final = 20
_MOST_REASONS: Final = 10
_MOST_MILESTONES: Final = 2000
_MOST_BLOCKS: Final = 2000
SHOWN_EVENTS: Final = 200
SHOWN_DELIVERIES: Final = 100
_MOST_MODELS: Final = 200


@dataclass(frozen=True)
class Overview:
    """Tenant's jobs, and all workers."""

    now: datetime
    states: Mapping[JobState, int]
    queue: Queue
    under_way: Sequence[Job]
    reasons: Sequence[Reason]
    hours: Sequence[Hour]
    workers: Sequence[WorkerView]


def overview(database: Database, settings: Settings, *, tenant: str) -> Overview:
    """Return the data of the overview page, read in one transaction."""
    with database.begin() as session:
        return Overview(
            job_repository.now(session),
            repository.by_state(session, tenant),
            repository.queue(session, tenant),
            repository.under_way(session, tenant, limit=_MOST_UNDER_WAY),
            repository.failures(session, tenant, limit=_MOST_REASONS),
            repository.throughput(session, tenant),
            _workers(session, settings, tenant),
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


def models(database: Database, *, tenant: str) -> Sequence[str]:
    """Return names of the tenant's models, as suggestions."""
    with database.begin() as session:
        return repository.models(session, tenant, limit=_MOST_MODELS)


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


@dataclass(frozen=True)
class Artifact:
    """Manifest of a job's artifact, or the reason why there is none."""

    manifest: Manifest | None
    why_not: str = ""


@dataclass(frozen=True)
class JobDetails:
    """Data of a job's page."""

    now: datetime
    job: Job
    retried_by: Job | None
    queue_position: int | None
    eta: Eta | None
    courses: Sequence[Course]
    memory: Sequence[Point]
    events: Sequence[JobEvent]
    """Events, newest first."""
    deliveries: Sequence[tuple[Webhook, DeliveryView]]
    """Webhook deliveries of its events, newest first."""


def details(database: Database, settings: Settings, job_id: UUID, *, tenant: str, event_types: Sequence[EventType]) -> JobDetails:
    """Return the data of a job's page. Raise JobNotFound."""
    job = jobs.get(database, job_id, tenant=tenant)
    position, eta = jobs.queue_position(database, job), outlook.eta(database, settings, job)
    with database.begin() as session:
        attempts = job_repository.attempts(session, job_id)
        milestones = repository.events(session, job_id, types=MILESTONES, newest_first=False, limit=_MOST_MILESTONES)
        pruned = repository.events(session, job_id, types=[EventType.BLOCK_PRUNED], newest_first=True, limit=_MOST_BLOCKS)
        events = repository.events(session, job_id, types=event_types, newest_first=True, limit=SHOWN_EVENTS)
        retried_by = job_repository.retry_of(session, job_id)
        now = job_repository.now(session)
    deliveries = webhooks.deliveries_of_job(database, job_id, tenant=tenant, limit=SHOWN_DELIVERIES)
    course, points = courses(attempts, milestones), by_block(reversed(pruned))
    return JobDetails(now, job, retried_by, position, eta, course, points, events, deliveries)


def artifact(database: Database, store: ArtifactStore, job_id: UUID, *, tenant: str) -> Artifact:
    """Return the job's manifest, or why there is none. Raise JobNotFound."""
    try:
        return Artifact(artifact_of(database, store, job_id, tenant=tenant).manifest)
    except ArtifactNotFound as nothing:
        return Artifact(None, nothing.detail)
    except StoreUnavailable:
        return Artifact(None, "the artifact store does not answer; load the page again shortly")
