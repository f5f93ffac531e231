"""Standings of the tenants in the queue: SQL of the figures from which a job's place is estimated, and of what is claimable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, Select, and_, cast, func, literal, or_, select, true, tuple_
from sqlalchemy.orm import Session, aliased

from service.contract.devices import ANY_DEVICE, QUEUES, DeviceClass, devices_served_by
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.database.tables.workers import Worker
from service.jobs.attempts.turns import SHARE, fits, is_queued, running_of

_UNLIMITED: Final = 2**31 - 1


@dataclass(frozen=True)
class Standing:
    """A tenant that competes for workers."""

    tenant: str
    queued: int
    since: datetime | None
    """Time at which its next job was created; None without a queued job."""
    running: int
    share: int
    max_running_jobs: int | None
    tag: float | None
    """Tag of its last turn (`service.jobs.attempts.turns`)."""


def standings(session: Session, device: str, tenant: str) -> Sequence[Standing]:
    """Return the standing of this tenant, and of all that have queued jobs for the workers that serve `device`."""
    counted = (
        select(Job.tenant, func.count().label("queued"), func.min(Job.created_at).label("since"))
        .where(*_is_eligible(device))
        .group_by(Job.tenant)
        .subquery()
    )
    started = aliased(Job)
    others = select(counted.c.tenant, counted.c.queued, counted.c.since).where(counted.c.tenant != tenant)
    own = select(literal(tenant).label("tenant"), func.count(), func.min(Job.created_at)).where(
        Job.tenant == tenant, *_is_eligible(device)
    )
    every = others.union_all(own).subquery()
    running = running_of(every.c.tenant).lateral("running")
    last = select(func.max(started.turn).label("tag")).where(started.tenant == every.c.tenant).lateral("last")
    statement = (
        select(*every.c, running.c.jobs, SHARE, TenantQuota.max_running_jobs, last.c.tag)
        .select_from(every)
        .join(running, true())
        .join(last, true())
        .outerjoin(TenantQuota, TenantQuota.tenant == every.c.tenant)
    )
    return [Standing(*values) for values in map(tuple, session.execute(statement))]


def count_running(session: Session, tenant: str) -> int:
    """Count the tenant's jobs that workers hold."""
    return session.execute(running_of(literal(tenant))).scalar_one()


def before_new(session: Session, *, tenant: str, priority: int, device: str) -> int:
    """Count the tenant's queued jobs that are claimed before a new one, by workers that may run either."""
    return _before(session, tenant, device, Job.priority >= priority)


def before(session: Session, job: Job) -> int:
    """Count the tenant's queued jobs that are claimed before this one, by workers that may run either."""
    is_earlier = tuple_(Job.created_at, Job.id) < (job.created_at, job.id)
    return _before(session, job.tenant, job.device, (Job.priority > job.priority) | ((Job.priority == job.priority) & is_earlier))


def _before(session: Session, tenant: str, device: str, is_before: ColumnElement[bool]) -> int:
    return session.execute(select(func.count()).where(Job.tenant == tenant, *_is_eligible(device), is_before)).scalar_one()


def _is_eligible(device: str) -> tuple[ColumnElement[bool], ...]:
    return (is_queued(Job),) if device == ANY_DEVICE else (is_queued(Job), Job.device.in_((ANY_DEVICE, device)))


def claimable(session: Session) -> Mapping[str, int]:
    """Return, per requested device class, how many jobs the workers could claim now, within quotas and memory."""
    due = _due().subquery()
    running = running_of(due.c.tenant).lateral("running")
    most = func.coalesce(TenantQuota.max_running_jobs, _UNLIMITED)
    free = func.greatest(cast(most, BigInteger) - running.c.jobs, 0)
    statement = (
        select(due.c.device, cast(func.sum(func.least(due.c.jobs, free)), BigInteger))
        .select_from(due)
        .join(running, true())
        .outerjoin(TenantQuota, TenantQuota.tenant == due.c.tenant)
        .group_by(due.c.device)
    )
    found: dict[str, int] = {device: int(jobs) for device, jobs in session.execute(statement)}
    return {device: found.get(device, 0) for device in QUEUES}


def _due() -> Select[str, str, int]:
    counted = select(Job.tenant, Job.device, func.count().label("jobs"))
    return counted.where(is_queued(Job), Job.available_at <= func.now(), _fits_largest()).group_by(Job.tenant, Job.device)


def _fits_largest() -> ColumnElement[bool]:
    """Build the condition that the workers which have not stopped may have the memory for a job.

    Those of each class count as one with the most memory of each kind. Without a worker of a class it is unknown who will come.
    """
    cases: list[ColumnElement[bool]] = []
    is_missing: list[ColumnElement[bool]] = []
    for device in DeviceClass:
        memory = (Worker.host_memory_bytes, Worker.device_memory_bytes)
        of_class = (Worker.device == device, Worker.stopped_at.is_(None))
        host, gpu = (select(func.max(each)).where(*of_class).scalar_subquery() for each in memory)
        fitting = fits(Job, device, host=host, gpu=gpu)
        cases.append(and_(Job.device.in_(devices_served_by(device)), host.is_not(None), *fitting))
        cases.append(and_(Job.device == device, host.is_(None)))
        is_missing.append(host.is_(None))
    return or_(*cases, and_(*is_missing))
