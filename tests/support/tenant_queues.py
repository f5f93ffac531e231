"""Queues of several tenants in the database, and workers that claim from them."""

from collections.abc import Collection
from random import Random
from uuid import UUID

from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from service.contract.devices import DeviceClass
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database, in_seconds
from service.database.tables.jobs import Job
from service.jobs.attempts.repository import Claim, claim_next
from tests.support.job_rows import SPEC

REVISION = "0" * 40


def add(
    database: Database,
    tenant: str,
    count: int,
    *,
    priority: int = 0,
    device: str = "any",
    age: float = 0,
    model: str = "tiny",
    **columns: int,
) -> None:
    """Insert queued jobs of a tenant, each a millisecond younger than the one before."""
    spec = JobSpec.model_validate(SPEC | {"model": {"id": model, "revision": REVISION}})
    number = func.generate_series(1, count).column_valued("number")
    values = {
        "id": func.gen_random_uuid(),
        "tenant": literal(tenant),
        "state": literal(JobState.QUEUED.value),
        "spec": literal(spec.model_dump(mode="json"), JSONB),
        "model": literal(model),
        "labels": literal({}, JSONB),
        "priority": literal(priority),
        "device": literal(device),
        "max_attempts": literal(3),
        "event_seq": literal(1),
        "created_at": in_seconds(number * 0.001 - age),
        "available_at": in_seconds(-age - 10),
        **{name: literal(value) for name, value in columns.items()},
    }
    with database.begin() as session:
        session.execute(insert(Job).from_select(list(values), select(*values.values())))


def claim(
    database: Database, device: DeviceClass = DeviceClass.CPU, cached: Collection[str] = (), worker: str = "w"
) -> Claim | None:
    """Claim the next job for a worker; None if there is none."""
    with database.begin() as session:
        return claim_next(session, worker=worker, device=device, lease_seconds=600, cached_models=cached)


def end(database: Database, job_id: UUID) -> None:
    """End a running job."""
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.SUCCEEDED, finished_at=func.now()))


def end_all(database: Database) -> None:
    """End every running job."""
    with database.begin() as session:
        running = update(Job).where(Job.state == JobState.RUNNING)
        session.execute(running.values(state=JobState.SUCCEEDED, finished_at=func.now()))


def serve(database: Database, workers: int, claims: int, random: Random | None = None) -> list[str]:
    """Return the tenants of successive claims. Once all workers have a job, one of them ends before the next claim.

    The one that ends is the first, or a random one.
    """
    running: list[UUID] = []
    served = []
    for _ in range(claims):
        if len(running) == workers:
            end(database, running.pop(random.randrange(workers) if random else 0))
        found = claim(database)
        if found is None:
            break
        running.append(found.job_id)
        served.append(found.tenant)
    return served
