"""SQL of workers: their signs of life, and what they do."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Double, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.contract import DeviceClass
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.workers import Worker


@dataclass(frozen=True)
class Identity:
    """What does not change while a worker runs."""

    id: str
    host: str
    device: DeviceClass
    device_name: str
    device_memory_bytes: int | None
    host_memory_bytes: int
    versions: dict[str, Any]


@dataclass(frozen=True)
class Usage:
    """What it takes up, and what is left."""

    used_memory_bytes: int
    free_disk_bytes: int


@dataclass(frozen=True)
class Occupation:
    """A worker, and the attempt it works on."""

    worker: Worker
    is_alive: bool
    job_id: UUID | None
    attempt: int | None
    tenant: str | None


@dataclass(frozen=True)
class Progressing:
    """A job that a worker has, and how far it is, by the database's clock."""

    spec: dict[str, Any]
    stage: str | None
    progress: dict[str, Any] | None
    work: dict[str, Any] | None
    elapsed: float
    """Seconds since the claim."""
    told_ago: float
    """Seconds since the job's row was last changed."""


def seen(session: Session, identity: Identity, usage: Usage) -> None:
    """Note a sign of life; the first one introduces the worker. One that took the name of another has begun anew."""
    values = asdict(identity) | asdict(usage)
    now = {"seen_at": func.now(), "stopped_at": None}
    fresh = insert(Worker).values(**values)
    session.execute(fresh.on_conflict_do_update(index_elements=[Worker.id], set_=values | now))


def started(session: Session, identity: Identity, usage: Usage) -> None:
    """The first sign of life of a process: its clock begins."""
    seen(session, identity, usage)
    session.execute(update(Worker).where(Worker.id == identity.id).values(started_at=func.now()))


def stopped(session: Session, worker_id: str) -> None:
    """It has stopped in good order, or is about to and takes no more jobs."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(stopped_at=func.now(), seen_at=func.now()))


def occupations(session: Session, *, silent_seconds: float) -> Sequence[Occupation]:
    """All workers that are known, by host; those that were silent for longer than `silent_seconds` are not alive."""
    is_alive = Worker.stopped_at.is_(None) & (Worker.seen_at > in_seconds(-silent_seconds))
    statement = (
        select(Worker, is_alive, Attempt.job_id, Attempt.number, Job.tenant)
        .outerjoin(Attempt, (Attempt.worker == Worker.id) & Attempt.ended_at.is_(None))
        .outerjoin(Job, Job.id == Attempt.job_id)
        .order_by(Worker.host, Worker.started_at, Worker.id)
    )
    return [Occupation(*row) for row in session.execute(statement)]


def progressing(session: Session, job_ids: Collection[UUID]) -> Sequence[Progressing]:
    """Those of the jobs that are with a worker."""
    elapsed, told_ago = (func.extract("epoch", func.now() - since) for since in (Attempt.started_at, Job.updated_at))
    statement = (
        select(Job.spec, Job.stage, Job.progress, Job.work, cast(elapsed, Double), cast(told_ago, Double))
        .join(Attempt, (Attempt.job_id == Job.id) & Attempt.ended_at.is_(None))
        .where(Job.id.in_(job_ids))
    )
    return [Progressing(*row) for row in session.execute(statement)]


def forget(session: Session, *, silent_seconds: float) -> int:
    """Remove workers that stopped, or fell silent, so long ago; returns how many."""
    gone = or_(Worker.stopped_at < in_seconds(-silent_seconds), Worker.seen_at < in_seconds(-silent_seconds))
    forgotten = delete(Worker).where(gone).returning(Worker.id)
    return len(session.scalars(forgotten, execution_options={"synchronize_session": False}).all())
