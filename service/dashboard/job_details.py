"""Queries behind the pages of one job: its head, which every tab shows, and the content of each tab."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from service.artifacts.operations import ArtifactNotFound, artifact_of
from service.contract.artifacts import REPORT_NAME, Manifest
from service.contract.states import EventType
from service.contract.verdicts import Judgement, judge
from service.dashboard import repository
from service.dashboard.memory import Point, by_block
from service.dashboard.repository import LikeJob
from service.database.engine import Database
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.webhooks import Webhook
from service.errors import NotFound
from service.jobs import operations as jobs
from service.jobs import repository as job_repository
from service.jobs.attempts.timeline import MILESTONES, Course, courses
from service.planning import eta as outlook
from service.planning.eta import Eta
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreUnavailable
from service.webhooks import operations as webhooks
from service.webhooks.schemas import DeliveryView

_MOST_MILESTONES: Final = 2000
_MOST_BLOCKS: Final = 2000
SHOWN_EVENTS: Final = 200
SHOWN_DELIVERIES: Final = 100
_MOST_REPORT_BYTES: Final = 8 * 1024 * 1024
"""Limit of a report shown in the browser; a report of 126 blocks has a tenth of it."""


@dataclass(frozen=True)
class JobHead:
    """Data that all tabs of a job show."""

    now: datetime
    job: Job
    retried_by: Job | None
    eta: Eta | None
    courses: Sequence[Course]
    judgement: Judgement | None
    better: LikeJob | None
    """Job of the same model and pattern with the lowest perplexity, if it is lower than this job's."""

    @property
    def active_seconds(self) -> float:
        """Seconds in which a worker had the job, over all attempts."""
        return sum(course.seconds(self.now) for course in self.courses)


def head(database: Database, settings: Settings, job_id: UUID, *, tenant: str) -> JobHead:
    """Return the head of a job's pages. Raise JobNotFound."""
    job = jobs.get(database, job_id, tenant=tenant)
    eta = outlook.eta(database, settings, job)
    judgement = judge(job.metrics)
    with database.begin() as session:
        attempts = job_repository.attempts(session, job_id)
        milestones = repository.events(session, job_id, types=MILESTONES, newest_first=False, limit=_MOST_MILESTONES)
        better = repository.better_job(session, job) if judgement else None
        retried_by, now = job_repository.retry_of(session, job_id), job_repository.now(session)
    return JobHead(now, job, retried_by, eta, courses(attempts, milestones), judgement, better)


def memory_of_blocks(database: Database, job_id: UUID) -> tuple[Sequence[Point], int | None]:
    """Return the peak memory of each pruned block, and the number of the model's blocks, None before the first is pruned."""
    with database.begin() as session:
        pruned = repository.events(session, job_id, types=[EventType.BLOCK_PRUNED], newest_first=True, limit=_MOST_BLOCKS)
    return by_block(reversed(pruned)), next((event.data.get("total") for event in pruned), None)


def events(database: Database, job_id: UUID, types: Sequence[EventType]) -> Sequence[JobEvent]:
    """Return the newest events of these types, or of all if there are none."""
    with database.begin() as session:
        return repository.events(session, job_id, types=types, newest_first=True, limit=SHOWN_EVENTS)


def deliveries(database: Database, job_id: UUID, *, tenant: str) -> Sequence[tuple[Webhook, DeliveryView]]:
    """Return the webhook deliveries of the job's events, newest first."""
    return webhooks.deliveries_of_job(database, job_id, tenant=tenant, limit=SHOWN_DELIVERIES)


@dataclass(frozen=True)
class Files:
    """Manifest of a job's artifact, or the reason why there is none."""

    manifest: Manifest | None
    why_not: str = ""


def files(database: Database, store: ArtifactStore, job_id: UUID, *, tenant: str) -> Files:
    """Return the job's manifest, or why there is none. Raise JobNotFound."""
    try:
        return Files(artifact_of(database, store, job_id, tenant=tenant).manifest)
    except ArtifactNotFound as nothing:
        return Files(None, nothing.detail)
    except StoreUnavailable:
        return Files(None, "the artifact store does not answer; load the page again shortly")


def report(database: Database, store: ArtifactStore, job_id: UUID, *, tenant: str) -> bytes:
    """Return the HTML of the job's report. Raise JobNotFound, ArtifactNotFound, StoreUnavailable, NotFound."""
    artifact = artifact_of(database, store, job_id, tenant=tenant)
    listed = artifact.file(REPORT_NAME)
    if listed is None:
        raise NotFound("the artifact has no report; an older worker published it")
    if listed.bytes > _MOST_REPORT_BYTES:
        raise NotFound("the report is too large for this page; download it from the job's files")
    try:
        return store.read(f"{artifact.prefix}/{REPORT_NAME}")
    except FileNotFoundError:
        raise ArtifactNotFound("the file is no longer in the store") from None
