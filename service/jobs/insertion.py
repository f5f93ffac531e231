"""Insertion of a job: the row, its first event and its outbox message in one statement, within the tenant's quota.

One statement, because the tenant's other callers wait for its lock, and because a round trip costs as much as the database's
work. Instead of counting the tenant's queue, which takes longer the longer the queue is, it increments an upper bound of the
tenant's unfinished jobs. The queue is counted only when the bound has reached the limit or is older than a minute.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Boolean, ColumnElement, Float, Integer, Select, bindparam, func, insert, literal, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, aliased

from service import tracing
from service.contract.spec import JobSpec
from service.contract.states import EventType, JobState
from service.database.engine import in_seconds, table_of
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job, TenantQueue
from service.database.tables.outbox import OutboxMessage
from service.database.tables.quotas import TenantQuota
from service.jobs.least_memory import UNKNOWN, LeastMemory
from service.jobs.outbox import repository as outbox
from service.logging import request_id

_RECOUNT_SECONDS: Final = 60.0
_tenant: Final[ColumnElement[str]] = bindparam("of", type_=table_of(Job).c.tenant.type)
"""Not named like a column of the queue table: SQLAlchemy would take the parameter for a value to set."""
_own_limit: Final = select(TenantQuota.max_queued_jobs).where(TenantQuota.tenant == _tenant).scalar_subquery()
_limit: Final = func.coalesce(_own_limit, bindparam("max_queued_jobs", type_=Integer))


@dataclass(frozen=True)
class Origin:
    """Job or sweep that a new job comes from."""

    retry_of: UUID | None = None
    sweep_id: UUID | None = None
    position: int | None = None
    """Number of the sweep's point."""
    values: dict[str, Any] | None = None
    """Values that the point sets in the sweep's template, by JSON pointer."""
    precedence: int = 0
    """Added to the priority in the queue."""

    @classmethod
    def retrying(cls, job: Job) -> "Origin":
        """Return the origin of a job's retry, which takes the job's place in its sweep."""
        return cls(job.id, job.sweep_id, job.sweep_position, job.sweep_values)


NEW: Final = Origin()


def insert_job(
    session: Session,
    spec: JobSpec,
    *,
    tenant: str,
    max_queued_jobs: int,
    origin: Origin = NEW,
    least: LeastMemory = UNKNOWN,
) -> Job | None:
    """Insert a queued job; None if the tenant's queue is full. The tenant's other callers wait until the transaction ends.

    Args:
        max_queued_jobs: limit of a tenant without its own quota.
        least: smallest memory in which the job can run.
    """
    columns = _columns(spec, tenant, origin) | least.columns
    retry_of = origin.retry_of
    parameters: dict[str, Any] = {
        **{f"job_{name}": value for name, value in columns.items()},
        **outbox.message_of(columns["id"], spec.device),
        "event": {"retry_of": str(retry_of)} if retry_of else {},
        "queue_deadline_seconds": spec.queue_deadline_seconds,
        "of": tenant,
        "max_queued_jobs": max_queued_jobs,
    }
    statement = _statement(tuple(columns))
    job = session.scalars(statement, parameters | {"is_counted": False}).one_or_none()
    if job is None and _has_room(session, tenant, max_queued_jobs):
        job = session.scalars(statement, parameters | {"is_counted": True}).one()
    return job


def _columns(spec: JobSpec, tenant: str, origin: Origin) -> dict[str, Any]:
    """Return the values of the columns without a default."""
    return {
        "id": uuid4(),
        "tenant": tenant,
        "state": JobState.QUEUED,
        # workers of the version before refuse a field that they do not know
        "spec": spec.stored(),
        "name": spec.name,
        "model": spec.model.id,
        "labels": spec.labels,
        "priority": spec.priority + origin.precedence,
        "device": spec.device,
        "retry_of": origin.retry_of,
        "sweep_id": origin.sweep_id,
        "sweep_position": origin.position,
        "sweep_values": origin.values,
        "request_id": request_id(),
        "traceparent": tracing.current(),
        "max_attempts": spec.max_attempts,
        "event_seq": 1,
    }


@cache
def _statement(columns: tuple[str, ...]) -> Select[Job]:
    """Build the statement once; its parameters are those of `insert_job`."""
    jobs, events, messages = table_of(Job), table_of(JobEvent), table_of(OutboxMessage)
    is_bound_fresh = TenantQueue.counted_at > in_seconds(-_RECOUNT_SECONDS)
    has_room = or_(bindparam("is_counted", type_=Boolean), is_bound_fresh & (TenantQueue.unfinished_at_most < _limit))
    queue = (
        update(table_of(TenantQueue))
        .where(TenantQueue.tenant == _tenant, has_room)
        .values(unfinished_at_most=TenantQueue.unfinished_at_most + 1)
        .returning(TenantQueue.tenant)
        .cte("queue")
    )
    values = [bindparam(f"job_{name}", type_=jobs.c[name].type) for name in columns]
    # not the transaction's time, so that jobs inserted together are claimed in their order
    clock = select(func.clock_timestamp().label("now")).cte("clock")
    seconds = bindparam("queue_deadline_seconds", type_=Float)
    deadline = clock.c.now + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    row = select(*values, deadline, clock.c.now).select_from(queue.join(clock, true()))
    job = insert(jobs).from_select([*columns, "queue_deadline_at", "created_at"], row).returning(*jobs.c).cte("job")
    created = select(job.c.id, job.c.event_seq, literal(EventType.CREATED.value), bindparam("event", type_=events.c.data.type))
    message = [bindparam(name, type_=messages.c[name].type) for name in outbox.MESSAGE]
    return select(aliased(Job, job)).add_cte(
        insert(events).from_select(["job_id", "seq", "type", "data"], created).cte("event"),
        insert(messages).from_select(outbox.MESSAGE, select(*message).select_from(job)).cte("message"),
    )


def _has_room(session: Session, tenant: str, max_queued_jobs: int) -> bool:
    """Count the queue: the first statement locks the tenant's row against other insertions, the second one counts."""
    row = upsert(TenantQueue).values(tenant=tenant)
    session.execute(row.on_conflict_do_update(index_elements=["tenant"], set_={"tenant": row.excluded.tenant}))
    unfinished = select(func.count()).where(Job.tenant == _tenant, Job.finished_at.is_(None))
    queued = unfinished.where(Job.state == JobState.QUEUED)
    counted = (
        update(TenantQueue)
        .where(TenantQueue.tenant == _tenant)
        .values(unfinished_at_most=unfinished.scalar_subquery(), counted_at=func.now())
        .returning(queued.scalar_subquery() < _limit)
    )
    parameters = {"of": tenant, "max_queued_jobs": max_queued_jobs}
    return session.execute(counted, parameters, execution_options={"synchronize_session": False}).scalar_one()
