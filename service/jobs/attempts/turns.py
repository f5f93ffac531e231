"""Turns of the tenants: SQL of the order in which workers serve them.

The tenant with the fewest running jobs is next; among equals, the one whose last job was started longest ago. A tenant's long
queue therefore delays another's first job by one job at most. Priority and age order the jobs of one tenant.
The cost depends on the number of tenants with queued jobs and of running jobs, not on the length of the queue.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Final

from sqlalchemy import ColumnElement, Select, func, literal_column, select, true
from sqlalchemy.orm import Session, aliased

from service.contract.states import HELD_STATES, JobState
from service.database.tables.jobs import Job

_MOST: Final = 50
"""Tenants that one claim may try."""


def is_claimable(job: type[Job], devices: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    """Build the conditions of a job that a worker serving these devices may claim; the first is that of the queue's indexes."""
    return _is_queued(job), job.available_at <= func.now(), job.device.in_(devices)


def _is_queued(job: type[Job]) -> ColumnElement[bool]:
    return job.state == literal_column(f"'{JobState.QUEUED}'")


def in_turn(session: Session, devices: Collection[str]) -> Sequence[str]:
    """Return the tenants with a claimable job, the next one first."""
    return session.scalars(_in_turn(tuple(devices))).all()


@cache
def _in_turn(devices: tuple[str, ...]) -> Select[str]:
    """Build the statement once, which takes longer than its execution."""
    job, held, started, queued = (aliased(Job) for _ in range(4))
    first = select(func.min(Job.tenant).label("tenant")).where(_is_queued(Job)).cte("tenants", recursive=True)
    following = select(func.min(job.tenant)).where(_is_queued(job), job.tenant > first.c.tenant).scalar_subquery()
    tenants = first.union_all(select(following).where(first.c.tenant.is_not(None)))
    running = (
        select(func.count().label("jobs"))
        .where(held.tenant == tenants.c.tenant, held.finished_at.is_(None), held.state.in_(HELD_STATES))
        .lateral("running")
    )
    last = select(func.max(started.started_at).label("start")).where(started.tenant == tenants.c.tenant).lateral("last")
    can_start = select(queued.id).where(queued.tenant == tenants.c.tenant, *is_claimable(queued, devices)).exists()
    return (
        select(tenants.c.tenant)
        .join(running, true())
        .join(last, true())
        .where(tenants.c.tenant.is_not(None), can_start)
        .order_by(running.c.jobs, last.c.start.nulls_first(), tenants.c.tenant)
        .limit(_MOST)
    )
