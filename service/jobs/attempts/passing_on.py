"""Messages passed on: SQL of a worker that was woken for a job for which it lacks the memory.

Any worker that serves the job's device may take a message. If the job needs more memory than the worker has, and another worker
that has it is idle, the message is sent again, until that one takes it. While no such worker is idle, the job waits for the
dispatcher, which repeats messages.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Session

from service.contract.devices import DeviceClass, devices_served_by
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.workers import Worker
from service.jobs.attempts.turns import fits, fits_worker, is_queued
from service.jobs.outbox import repository as outbox

_WINDOW: Final = 100
"""First jobs of the queue that are considered."""
_DELAY_SECONDS: Final = 1.0
"""Time in which this worker's next process starts."""


def pass_on(session: Session, *, worker: str, device: DeviceClass, silent_seconds: float) -> UUID | None:
    """Send a message for a job that another, idle worker has the memory for; return the job, None if there is none."""
    first = select(Job.id).where(is_queued(Job), Job.available_at <= func.now(), Job.device.in_(devices_served_by(device)))
    window = first.order_by(Job.priority.desc(), Job.created_at, Job.id).limit(_WINDOW).subquery()
    too_large = not_(and_(*fits_worker(Job, device)))
    statement = select(Job.id, Job.device).join(window, window.c.id == Job.id)
    found = session.execute(
        statement.where(too_large, _has_idle_worker(worker, silent_seconds)).limit(1), {"worker": worker}
    ).one_or_none()
    if found is None:
        return None
    outbox.add_job(session, found.id, found.device, delay_seconds=_DELAY_SECONDS)
    return UUID(str(found.id))


def _has_idle_worker(worker: str, silent_seconds: float) -> ColumnElement[bool]:
    is_busy = exists().where(Attempt.worker == Worker.id, Attempt.ended_at.is_(None))
    may_run = or_(
        *(
            and_(
                Worker.device == device,
                Job.device.in_(devices_served_by(device)),
                *fits(Job, device, host=Worker.host_memory_bytes, gpu=Worker.device_memory_bytes),
            )
            for device in DeviceClass
        )
    )
    return exists().where(Worker.id != worker, Worker.is_alive(silent_seconds), ~is_busy, may_run)
