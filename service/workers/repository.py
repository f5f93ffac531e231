"""SQL of workers: registration, heartbeats and current attempts."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Double, cast, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.contract.devices import DeviceClass
from service.contract.states import EventType
from service.database.engine import delete_batch, in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.workers import Worker


@dataclass(frozen=True)
class Identity:
    """Properties of a worker that do not change while it runs."""

    id: str
    host: str
    device: DeviceClass
    device_name: str
    device_memory_bytes: int | None
    host_memory_bytes: int
    versions: dict[str, Any]


@dataclass(frozen=True)
class Usage:
    """Memory that a worker uses, and its free disk space."""

    used_memory_bytes: int
    free_disk_bytes: int


@dataclass(frozen=True)
class Occupation:
    """A worker and the attempt that it runs, if any."""

    worker: Worker
    is_alive: bool
    job_id: UUID | None
    attempt: int | None
    tenant: str | None


@dataclass(frozen=True)
class RunningJob:
    """A job that a worker runs, and its progress by the database's clock."""

    job_id: UUID
    spec: dict[str, Any]
    stage: str | None
    progress: dict[str, Any] | None
    work: dict[str, Any] | None
    elapsed: float
    """Seconds since the claim."""
    stage_elapsed: float
    """Seconds since the stage began; since the claim before the first."""
    updated_ago: float
    """Seconds since the job's row was last changed."""


def seen(session: Session, identity: Identity, usage: Usage) -> None:
    """Record a heartbeat; the first one registers the worker. A reused name counts as started again."""
    values = asdict(identity) | asdict(usage)
    now = {"seen_at": func.now(), "stopped_at": None}
    fresh = insert(Worker).values(**values)
    session.execute(fresh.on_conflict_do_update(index_elements=[Worker.id], set_=values | now))


def started(session: Session, identity: Identity, usage: Usage) -> None:
    """Record the first heartbeat of a process, and its start time."""
    seen(session, identity, usage)
    session.execute(update(Worker).where(Worker.id == identity.id).values(started_at=func.now()))


def stopped(session: Session, worker_id: str) -> None:
    """Mark a worker as stopped: it has shut down cleanly, or is shutting down and takes no more jobs."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(stopped_at=func.now(), seen_at=func.now()))


def occupations(session: Session, *, silent_seconds: float) -> Sequence[Occupation]:
    """Return all registered workers, by host; one without a heartbeat for `silent_seconds` is not alive."""
    statement = (
        select(Worker, Worker.is_alive(silent_seconds), Attempt.job_id, Attempt.number, Job.tenant)
        .outerjoin(Attempt, (Attempt.worker == Worker.id) & Attempt.ended_at.is_(None))
        .outerjoin(Job, Job.id == Attempt.job_id)
        .order_by(Worker.host, Worker.started_at, Worker.id)
    )
    return [Occupation(*row) for row in session.execute(statement)]


def progressing(session: Session, job_ids: Collection[UUID]) -> Sequence[RunningJob]:
    """Return those of the jobs that a worker runs."""
    elapsed, updated_ago = (func.extract("epoch", func.now() - since) for since in (Attempt.started_at, Job.updated_at))
    stage_began = (
        select(func.max(JobEvent.created_at))
        .where(JobEvent.job_id == Job.id, JobEvent.type == EventType.STAGE_STARTED, JobEvent.created_at >= Attempt.started_at)
        .correlate(Job, Attempt)
        .scalar_subquery()
    )
    stage_elapsed = func.extract("epoch", func.now() - func.coalesce(stage_began, Attempt.started_at))
    seconds = [cast(each, Double) for each in (elapsed, stage_elapsed, updated_ago)]
    statement = (
        select(Job.id, Job.spec, Job.stage, Job.progress, Job.work, *seconds)
        .join(Attempt, (Attempt.job_id == Job.id) & Attempt.ended_at.is_(None))
        .where(Job.id.in_(job_ids))
    )
    return [RunningJob(*row) for row in session.execute(statement)]


def forget(session: Session, *, silent_seconds: float) -> int:
    """Delete a batch of workers that stopped, or sent their last heartbeat, over `silent_seconds` ago; return their number."""
    gone = or_(Worker.stopped_at < in_seconds(-silent_seconds), Worker.seen_at < in_seconds(-silent_seconds))
    return delete_batch(session, Worker, gone)
