"""SQL of groups of jobs: counts, the first jobs of each group, and their perplexity by sparsity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, column, func, or_, select, true, values
from sqlalchemy.orm import Session

from service.contract.states import JobState
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.jobs.repository import JobFilter, conditions, has_unindexed, is_in_window, ordering
from service.jobs.sorting import JobOrder

_NEWEST = 500
MOST_COUNTED: Final = 100_000
"""Jobs of a state up to which a tenant's are counted."""
MOST_COMPARED: Final = 2000
"""Newest measured jobs among which the lowest perplexities are looked for."""


@dataclass(frozen=True)
class Grouping:
    """Key by which jobs are grouped; `label` names the label."""

    by: Literal["model", "sweep", "label"]
    label: str = ""

    @property
    def key(self) -> ColumnElement[Any]:
        """Key of a job's group; null for jobs without a sweep or without the label."""
        if self.by == "label":
            key: ColumnElement[Any] = Job.labels[self.label].as_string()
            return key
        return Job.model.expression if self.by == "model" else cast(Job.sweep_id, String)


@dataclass(frozen=True)
class Group:
    """One group: its key, its number of jobs, and the time of its newest."""

    key: str | None
    count: int
    newest_at: datetime


@dataclass(frozen=True)
class Measured:
    """Lowest perplexity at one sparsity among a group's jobs with one model and data set."""

    key: str | None
    model: str
    dataset: str | None
    sparsity: float
    perplexity: float


def count_by_state(session: Session, wanted: JobFilter, *, tenant: str) -> Mapping[JobState, int]:
    """Return the number of matching jobs by state, without empty states."""
    if wanted.is_empty:
        return count_all(session, tenant=tenant)
    window = [is_in_window(wanted, tenant=tenant)] if has_unindexed(wanted) else []
    rows = session.execute(select(Job.state, func.count()).where(*_matching(wanted, tenant), *window).group_by(Job.state))
    return {JobState(state): count for state, count in rows}


def count_all(session: Session, *, tenant: str) -> Mapping[JobState, int]:
    """Return the number of the tenant's jobs by state, without empty states; MOST_COUNTED + 1 stands for more.

    Deleted jobs are subtracted, so that the others are counted in an index alone.
    """
    state = values(column("state", String), name="states").data([(state,) for state in JobState]).c.state
    some = select(Job.state).where(Job.tenant == tenant, Job.state == state).limit(MOST_COUNTED + 1).lateral("some")
    every = select(state, func.count()).join(some, true()).group_by(state)
    gone = select(Job.state, func.count()).where(Job.tenant == tenant, Job.deleted_at.is_not(None)).group_by(Job.state)
    deleted = dict(session.execute(gone).tuples().all())
    counted = {JobState(state): count for state, count in session.execute(every)}
    left = {state: count if count > MOST_COUNTED else count - deleted.get(state, 0) for state, count in counted.items()}
    return {state: count for state, count in left.items() if count}


def groups(session: Session, wanted: JobFilter, grouping: Grouping, *, tenant: str, limit: int) -> Sequence[Group]:
    """Return the groups of the matching jobs, that with the newest job first."""
    key = grouping.key.label("key")
    newest_at = func.max(Job.created_at)
    counted = select(key, func.count(), newest_at).where(*_newest(wanted, tenant)).group_by(key)
    return [Group(*row) for row in session.execute(counted.order_by(newest_at.desc(), key).limit(limit))]


def first_jobs(
    session: Session,
    wanted: JobFilter,
    grouping: Grouping,
    keys: Sequence[str | None],
    *,
    tenant: str,
    order: JobOrder,
    limit: int,
) -> Mapping[str | None, Sequence[Job]]:
    """Return up to `limit` jobs of each group, in this order."""
    key, by = grouping.key, ordering(order)
    place = func.row_number().over(partition_by=key, order_by=by)
    ranked = select(Job.id, place.label("place")).where(*_newest(wanted, tenant), _is_in(key, keys)).subquery()
    # materialized: a planner that expects one job would rank all of them again for each job
    chosen = select(ranked.c.id).where(ranked.c.place <= limit).cte().prefix_with("MATERIALIZED")
    found: dict[str | None, list[Job]] = {each: [] for each in keys}
    for of_group, job in session.execute(select(key, Job).join(chosen, chosen.c.id == Job.id).order_by(*by)):
        found[of_group].append(job)
    return found


def measured(
    session: Session, wanted: JobFilter, grouping: Grouping, keys: Sequence[str | None], *, tenant: str
) -> Sequence[Measured]:
    """Return the lowest perplexities of the newest jobs by group, model, data set and sparsity, in the order of these."""
    measured_on = Job.metrics["pruned"]["perplexity"][0]["dataset"].as_string()
    columns = (grouping.key.label("key"), Job.model, measured_on.label("dataset"), Job.sparsity, Job.perplexity)
    newest = (
        select(*columns)
        .where(*_matching(wanted, tenant), _is_in(grouping.key, keys))
        .where(Job.perplexity.is_not(None), Job.sparsity.is_not(None))
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(MOST_COMPARED)
    )
    # materialized: reading a job's metrics costs more than all else, and each figure would do it again
    job = newest.cte().prefix_with("MATERIALIZED").c
    alike = (job.key, job.model, job.dataset, job.sparsity)
    lowest = select(*alike, func.min(job.perplexity)).group_by(*alike).order_by(*alike)
    return [Measured(*row) for row in session.execute(lowest)]


def sweep_names(session: Session, sweep_ids: Sequence[UUID], *, tenant: str) -> Mapping[UUID, str]:
    """Return names of the tenant's sweeps, or their models' where they have none."""
    rows = session.execute(
        select(Sweep.id, func.coalesce(Sweep.name, Sweep.model)).where(Sweep.tenant == tenant, Sweep.id.in_(sweep_ids))
    )
    return {sweep_id: name for sweep_id, name in rows}  # noqa: C416  # dict() takes a result with keys for a mapping


def label_names(session: Session, *, tenant: str, limit: int) -> Sequence[str]:
    """Return the names of labels that the tenant's newest jobs have, sorted."""
    mine = Job.tenant == tenant, Job.deleted_at.is_(None)
    newest = select(Job.labels).where(*mine).order_by(Job.created_at.desc(), Job.id.desc()).limit(_NEWEST).subquery()
    name = func.jsonb_object_keys(newest.c.labels).label("name")
    return session.scalars(select(name).distinct().order_by(name).limit(limit)).all()


def _matching(wanted: JobFilter, tenant: str) -> list[ColumnElement[bool]]:
    return [Job.tenant == tenant, Job.deleted_at.is_(None), *conditions(wanted)]


def _newest(wanted: JobFilter, tenant: str) -> list[ColumnElement[bool]]:
    return [*_matching(wanted, tenant), is_in_window(wanted, tenant=tenant)]


def _is_in(key: ColumnElement[Any], keys: Sequence[str | None]) -> ColumnElement[bool]:
    named = key.in_([each for each in keys if each is not None])
    return or_(named, key.is_(None)) if None in keys else named
