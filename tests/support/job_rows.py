"""Jobs put straight into the database, and what became of them."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, text

from service.contract.spec import JobSpec
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.jobs.events import repository as events
from service.jobs.outbox import repository as outbox

SPEC: dict[str, Any] = {
    "model": {"source": "local", "id": "tiny"},
    "recipe": {"refinement": {"method": "none"}},
    "calibration": {"dataset": "c4-sample:test", "num_samples": 2, "sequence_length": 16},
    "evaluation": {"perplexity": [], "sequence_length": 16, "samples": None},
}


def insert_job(database: Database, *, send: bool = True, age_seconds: float = 0, tenant: str = "test", **fields: Any) -> UUID:
    """A queued job as `POST /v1/jobs` leaves it; `fields` go over the defaults of its body."""
    spec = JobSpec.model_validate(SPEC | fields)
    job_id = uuid4()
    with database.begin() as session:
        created_at = session.execute(select(func.now())).scalar_one() - timedelta(seconds=age_seconds)
        deadline = spec.queue_deadline_seconds
        session.add(
            Job(
                id=job_id,
                tenant=tenant,
                state=JobState.QUEUED,
                spec=spec.model_dump(mode="json"),
                model=spec.model.id,
                labels=spec.labels,
                priority=spec.priority,
                device=spec.device,
                max_attempts=spec.max_attempts,
                created_at=created_at,
                available_at=created_at,
                queue_deadline_at=created_at + timedelta(seconds=deadline) if deadline else None,
            )
        )
        session.flush()
        events.append(session, job_id, EventType.CREATED)
        if send:
            outbox.add_job(session, job_id, spec.device)
    return job_id


def job_row(database: Database, job_id: UUID) -> Job:
    with database.begin() as session:
        return session.get_one(Job, job_id)


def attempts_of(database: Database, job_id: UUID) -> list[Attempt]:
    with database.begin() as session:
        return list(session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)))


def events_of(database: Database, job_id: UUID) -> list[JobEvent]:
    with database.begin() as session:
        return list(events.after(session, job_id, 0, 10_000))


def event_types(database: Database, job_id: UUID) -> list[str]:
    return [event.type for event in events_of(database, job_id)]


def break_connections(database: Database) -> None:
    """Close every connection to the database but the one that says so."""
    others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with database.begin() as session:
        session.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))  # noqa: S608
