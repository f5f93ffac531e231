"""The statement that accepts a job: the row, its first event and its message to the workers, if the tenant may have one more.

It is one statement because the tenant's other callers wait for it, and because each message to the database costs the service as
much as the database's work for it; several jobs go in one message. It does not count the tenant's queue, which takes the longer
the longer that is: it raises a bound of what has not ended. Only where the bound is too high, or old, is there a count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Float,
    Integer,
    Select,
    Uuid,
    any_,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, aliased

from service import tracing
from service.contract import EventType, JobSpec, JobState
from service.database import in_seconds, table_of
from service.events.tables import JobEvent
from service.jobs.tables import Job, TenantQueue
from service.logging import request_id
from service.outbox import repository as outbox
from service.outbox.tables import OutboxMessage
from service.quotas.tables import TenantQuota

_COUNTED_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True)
class NewJob:
    """A job that somebody asks for. Made in the request, whose id and span go with it."""

    spec: JobSpec
    tenant: str
    retry_of: UUID | None = None
    id: UUID = field(default_factory=uuid4)
    request_id: str | None = field(default_factory=request_id)
    traceparent: str | None = field(default_factory=tracing.current)


_GIVEN: Final[dict[str, Callable[[NewJob], Any]]] = {
    "id": attrgetter("id"),
    "tenant": attrgetter("tenant"),
    "state": lambda _: JobState.QUEUED,
    "spec": lambda new: new.spec.model_dump(mode="json"),
    "model": attrgetter("spec.model.id"),
    "labels": attrgetter("spec.labels"),
    "priority": attrgetter("spec.priority"),
    "device": attrgetter("spec.device"),
    "retry_of": attrgetter("retry_of"),
    "request_id": attrgetter("request_id"),
    "traceparent": attrgetter("traceparent"),
    "max_attempts": attrgetter("spec.max_attempts"),
    "event_seq": lambda _: 1,
}
"""The columns of a job that do not have their default."""
_tenant: Final[ColumnElement[str]] = bindparam("of", type_=table_of(Job).c.tenant.type)
"""No parameter is named as a column of the queue is: the update would take it for a new value."""
_own_limit: Final = select(TenantQuota.max_queued_jobs).where(TenantQuota.tenant == _tenant).scalar_subquery()
_limit: Final = func.coalesce(_own_limit, bindparam("max_queued_jobs", type_=Integer))


def _accepting() -> Select[Job]:
    """Its parameters are what `_values` gives."""
    jobs, events, messages = table_of(Job), table_of(JobEvent), table_of(OutboxMessage)
    is_bound_fresh = TenantQueue.counted_at > in_seconds(-_COUNTED_AGAIN_SECONDS)
    has_room = or_(bindparam("is_counted", type_=Boolean), is_bound_fresh & (TenantQueue.unfinished_at_most < _limit))
    place = (
        update(table_of(TenantQueue))
        .where(TenantQueue.tenant == _tenant, has_room)
        .values(unfinished_at_most=TenantQueue.unfinished_at_most + 1)
        .returning(TenantQueue.tenant)
        .cte("place")
    )
    values = [bindparam(f"job_{name}", type_=jobs.c[name].type) for name in _GIVEN]
    deadline = in_seconds(bindparam("queue_deadline_seconds", type_=Float))
    row = select(*values, deadline).select_from(place)
    job = insert(jobs).from_select([*_GIVEN, "queue_deadline_at"], row).returning(*jobs.c).cte("job")
    created = select(job.c.id, job.c.event_seq, literal(EventType.CREATED.value), bindparam("event", type_=events.c.data.type))
    message = [bindparam(name, type_=messages.c[name].type) for name in outbox.MESSAGE]
    return select(aliased(Job, job)).add_cte(
        insert(events).from_select(["job_id", "seq", "type", "data"], created).cte("event"),
        insert(messages).from_select(outbox.MESSAGE, select(*message).select_from(job)).cte("message"),
    )


_ACCEPTING: Final = _accepting()
_BY_IDS: Final = select(Job).where(Job.id == any_(bindparam("ids", type_=ARRAY(Uuid))))


def accept(session: Session, wanted: Sequence[NewJob], *, max_queued_jobs: int) -> list[Job | None]:
    """Insert queued jobs; None for each whose tenant has as many as it may have.

    Whoever else makes a job for the same tenants waits until the transaction ends.

    Args:
        max_queued_jobs: for a tenant without a limit of its own.
    """
    made: dict[UUID, Job] = {}
    of_tenant = attrgetter("tenant")
    for _, group in groupby(
        sorted(wanted, key=of_tenant), of_tenant
    ):  # in this order, or two transactions might wait for each other
        made |= _accept_of_tenant(session, list(group), max_queued_jobs)
    return [made.get(new.id) for new in wanted]


def _accept_of_tenant(session: Session, wanted: Sequence[NewJob], max_queued_jobs: int) -> dict[UUID, Job]:
    made: dict[UUID, Job] = {}
    if len(wanted) > 1:
        session.connection().execute(_ACCEPTING, [_values(new, max_queued_jobs) | {"is_counted": False} for new in wanted])
        made = {job.id: job for job in session.scalars(_BY_IDS, {"ids": [new.id for new in wanted]})}
    for new in wanted:
        job = made.get(new.id) or _accept_one(session, new, max_queued_jobs)
        if job is None:
            break  # nor is there room for the others
        made[new.id] = job
    return made


def _accept_one(session: Session, new: NewJob, max_queued_jobs: int) -> Job | None:
    values = _values(new, max_queued_jobs)
    job = session.scalars(_ACCEPTING, values | {"is_counted": False}).one_or_none()
    if job is None and _has_room(session, new.tenant, max_queued_jobs):
        job = session.scalars(_ACCEPTING, values | {"is_counted": True}).one()
    return job


def _values(new: NewJob, max_queued_jobs: int) -> dict[str, Any]:
    return {
        **{f"job_{name}": value_of(new) for name, value_of in _GIVEN.items()},
        **outbox.message_of(new.id, new.spec.device, traceparent=new.traceparent),
        "event": {"retry_of": str(new.retry_of)} if new.retry_of else {},
        "queue_deadline_seconds": new.spec.queue_deadline_seconds,
        "of": new.tenant,
        "max_queued_jobs": max_queued_jobs,
    }


def _has_room(session: Session, tenant: str, max_queued_jobs: int) -> bool:
    """Count, while nobody makes another job for the tenant: the first statement sees to that, the second one counts."""
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
