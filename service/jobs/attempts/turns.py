"""Turns of the tenants: SQL of the order in which workers serve them.

Tenants with a claimable job compete for a worker. The next one is the first by

    level   running jobs ÷ share, rounded down
    tag     tag of its last turn + 1 / share; a tenant without an earlier turn comes first
    age     of its next job, the oldest first

The tag of a turn is the winner's, but at least the highest that any competitor's last turn has (start-time fair queueing, Goyal,
Vin and Cheng, 1996): no turns are saved up while a tenant has no job, and a tenant of share s gets s turns for one of share 1.
A tenant with as many running jobs as its quota allows does not compete.
Priority and age order the jobs of one tenant. A tenant's long queue therefore delays another's first job by one turn at most.
The cost depends on the number of tenants with queued jobs and of running jobs, not on the length of the queue.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Double, Integer, Select, bindparam, cast, func, literal, literal_column, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from service.contract.devices import DeviceClass, devices_served_by
from service.contract.states import HELD_STATES, JobState
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.database.tables.workers import Worker

_MOST: Final = 50
"""Tenants that one claim may try."""
_LOCKS: Final = 1_685_415_283
"""First key of the advisory locks of this module; the second one is a hash of the tenant."""

SHARE: Final = cast(func.greatest(TenantQuota.share, 1), Integer)
"""Share of a tenant; 1 without a quota."""


class Turn(NamedTuple):
    """A tenant that a worker may serve now."""

    tenant: str
    tag: float
    """Tag of the turn, which the claimed job is given."""
    max_running_jobs: int | None


def is_queued(job: type[Job]) -> ColumnElement[bool]:
    """Build the condition of the queue's indexes."""
    return job.state == literal_column(f"'{JobState.QUEUED}'")


def is_claimable(job: type[Job], device: DeviceClass) -> tuple[ColumnElement[bool], ...]:
    """Build the conditions of a job that a worker of this class may claim; parameter `worker`: its id."""
    is_of_class = job.device.in_(devices_served_by(device))
    return is_queued(job), job.available_at <= func.now(), is_of_class, *fits_worker(job, device)


def fits_worker(job: type[Job], device: DeviceClass) -> tuple[ColumnElement[bool], ...]:
    """Build the conditions that the worker of the parameter `worker` has the memory for a job, as it has registered."""
    memory = (Worker.host_memory_bytes, Worker.device_memory_bytes)
    host, gpu = (select(column).where(Worker.id == bindparam("worker")).scalar_subquery() for column in memory)
    return fits(job, device, host=host, gpu=gpu)


def fits(job: type[Job], device: DeviceClass, *, host: Any, gpu: Any) -> tuple[ColumnElement[bool], ...]:
    """Build the conditions that these bytes are enough for a job; where one of both is unknown, the job is tried."""
    if device is DeviceClass.CPU:
        return (func.coalesce(job.least_cpu_bytes <= host, true()),)
    return func.coalesce(job.least_host_bytes <= host, true()), func.coalesce(job.least_device_bytes <= gpu, true())


def running_of(tenant: ColumnElement[str] | InstrumentedAttribute[str]) -> Select[int]:
    """Build the query of the number of jobs that workers hold of a tenant."""
    held = aliased(Job)
    return select(func.count().label("jobs")).where(
        held.tenant == tenant, held.finished_at.is_(None), held.state.in_(HELD_STATES)
    )


def lock(session: Session, tenant: str, *, wait: bool) -> bool:
    """Lock a tenant with a limit until the transaction ends, so that its claims follow one another; False if another one has it.

    Claims of other tenants need no lock: several that read the turns at the same moment may take jobs of the same tenant.
    """
    take = func.pg_advisory_xact_lock if wait else func.pg_try_advisory_xact_lock
    taken = session.execute(select(take(_LOCKS, func.hashtext(bindparam("tenant")))), {"tenant": tenant}).scalar_one()
    return wait or bool(taken)


def in_turn(session: Session, device: DeviceClass, worker: str) -> Sequence[Turn]:
    """Return the tenants with a job that the worker may claim, the next one first."""
    return [Turn(*row) for row in session.execute(_in_turn(device), {"worker": worker})]


@cache
def _in_turn(device: DeviceClass) -> Select[str, float, int | None]:
    """Build the statement once, which takes longer than its execution."""
    tenants = queueing_tenants()
    started, queued = aliased(Job), aliased(Job)
    running = running_of(tenants.c.tenant).lateral("running")
    last = select(func.max(started.turn).label("tag")).where(started.tenant == tenants.c.tenant).lateral("last")
    following = (
        select(queued.created_at)
        .where(queued.tenant == tenants.c.tenant, *is_claimable(queued, device))
        .order_by(queued.priority.desc(), queued.created_at, queued.id)
        .limit(1)
        .lateral("following")
    )
    tag = last.c.tag + literal(1.0, Double) / cast(SHARE, Double)
    return (
        select(
            tenants.c.tenant,
            func.coalesce(func.greatest(tag, func.max(last.c.tag).over()), 0.0),
            TenantQuota.max_running_jobs,
        )
        .select_from(tenants)
        .join(running, true())
        .join(last, true())
        .join(following, true())
        .outerjoin(TenantQuota, TenantQuota.tenant == tenants.c.tenant)
        .where(func.coalesce(running.c.jobs < TenantQuota.max_running_jobs, true()))
        .order_by(running.c.jobs // SHARE, tag.nulls_first(), following.c.created_at, tenants.c.tenant)
        .limit(_MOST)
    )


def queueing_tenants() -> Any:
    """Build a recursive CTE of the tenants with a queued job, which skips from one to the next in the index."""
    job = aliased(Job)
    first = select(func.min(Job.tenant).label("tenant")).where(is_queued(Job)).cte("tenants", recursive=True)
    following = select(func.min(job.tenant)).where(is_queued(job), job.tenant > first.c.tenant).scalar_subquery()
    found = first.union_all(select(following).where(first.c.tenant.is_not(None)))
    return select(found.c.tenant).where(found.c.tenant.is_not(None)).cte("queueing")
