"""SQL of the queue's metrics: jobs that a worker could claim now, by requested device class and by the memory that they need."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Numeric, Select, case, cast, func, select, true, type_coerce
from sqlalchemy.orm import Session

from service.contract.devices import QUEUES, DeviceClass
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.jobs.attempts.turns import is_queued, running_of
from service.ops.metrics.repository import Backlog

SIZES_GIB: Final = (8, 16, 24, 32, 48, 64, 80, 96, 128, 144, 192, 256, 512)
"""Upper bounds of the classes of memory."""
_LABELS: Final = (*map(str, SIZES_GIB), "more", "unknown")
_BOUNDS: Final = cast([size << 30 for size in SIZES_GIB], ARRAY(BigInteger))


@dataclass(frozen=True)
class Waiting:
    """Claimable jobs; those beyond a tenant's limit of running jobs do not count."""

    backlogs: Mapping[str, Backlog]
    """By requested device class."""
    by_memory: Mapping[tuple[str, str], int]
    """By requested device class and class of memory: the device's, for jobs that request a CPU the host's."""


def waiting(session: Session) -> Waiting:
    """Return the jobs that a worker could claim now, whatever workers there are."""
    jobs, by_memory = Counter[str](), dict.fromkeys(((device, label) for device in QUEUES for label in _LABELS), 0)
    free, ages = dict[str, int](), dict[str, float]()
    due = _due().subquery()
    running = running_of(due.c.tenant).lateral("running")
    statement = (
        select(due.c.tenant, due.c.device, due.c.size, due.c.jobs, due.c.age, running.c.jobs, TenantQuota.max_running_jobs)
        .select_from(due)
        .join(running, true())
        .outerjoin(TenantQuota, TenantQuota.tenant == due.c.tenant)
    )
    for tenant, device, size, count, age, held, limit in session.execute(statement):
        left = count if limit is None else free.get(tenant, max(0, limit - held))
        taken = min(count, left)
        free[tenant] = left - taken
        label = "unknown" if size is None else _LABELS[size]
        jobs[device] += taken
        by_memory[device, label] += taken
        if taken:
            ages[device] = max(ages.get(device, 0.0), float(age))
    return Waiting({device: Backlog(jobs[device], ages.get(device, 0.0)) for device in QUEUES}, by_memory)


def _due() -> Select[str, str, int, int, Decimal]:
    needed = case((Job.device == DeviceClass.CPU, Job.least_cpu_bytes), else_=Job.least_device_bytes)
    size = func.width_bucket(needed - 1, _BOUNDS).label("size")
    age = type_coerce(func.extract("epoch", func.now() - func.min(Job.available_at)), Numeric()).label("age")
    counted = select(Job.tenant, Job.device, size, func.count().label("jobs"), age)
    return counted.where(is_queued(Job), Job.available_at <= func.now()).group_by(Job.tenant, Job.device, size)
