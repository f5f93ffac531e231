"""SQL queries for pages without an API equivalent: statistics of a tenant's jobs, and filtered events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Double, Subquery, case, cast, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import Session

from service.contract.states import EventType, JobState
from service.contract.verdicts import judge
from service.database.engine import in_seconds
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.keys import ApiKey
from service.database.tables.logs import JobLogLine
from service.jobs.groups import repository as groups
from service.jobs.groups.repository import MOST_COMPARED
from service.jobs.logs import repository as logs
from service.jobs.logs.repository import LineFilter
from service.jobs.repository import WINDOW

RECENT_SECONDS: Final = 7 * 86_400.0
_HOURS: Final = 24
_SOURCE: Final = Job.spec["model"]["source"].as_string()


@dataclass(frozen=True)
class Queue:
    """Number of the tenant's queued jobs, and age of the oldest; None if there are none."""

    count: int
    oldest_seconds: float | None


@dataclass(frozen=True)
class Reason:
    """Recent failures with one error code, and the last job among them."""

    code: str
    count: int
    last_job: UUID
    last_at: datetime


@dataclass(frozen=True)
class Best:
    """Lowest perplexity among pruned models measured under the same conditions, and its job."""

    pattern: Mapping[str, Any]
    dataset: str
    sequence_length: int
    windows: int
    bos: str
    perplexity: float
    job: UUID


@dataclass(frozen=True)
class LikeJob:
    """Succeeded job of the same model and pattern, measured under the same conditions."""

    id: UUID
    spec: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @property
    def ratio(self) -> float | None:
        """Ratio of its perplexities, pruned to dense; None if the dense model was not measured."""
        found = judge(self.metrics)
        return found.ratio if found else None


@dataclass(frozen=True)
class UsedModel:
    """Model used by the tenant's jobs. `source` is None if another version of the service stored none."""

    model: str
    source: str | None
    counts: Mapping[JobState, int]
    """Number of its jobs by state, without empty states."""
    last_job: UUID
    last_at: datetime
    best: Sequence[Best]
    """Ordered by sparsity."""


@dataclass(frozen=True)
class Hour:
    """Number of jobs that ended in an hour."""

    begins_at: datetime
    succeeded: int
    others: int


def by_state(session: Session, tenant: str) -> Mapping[JobState, int]:
    """Return the number of jobs in every state."""
    found = groups.count_all(session, tenant=tenant)
    return {state: found.get(state, 0) for state in JobState}


def queue(session: Session, tenant: str) -> Queue:
    """Return length and age of the tenant's queue."""
    oldest = cast(func.extract("epoch", func.now() - func.min(Job.created_at)), Double)
    ours = (Job.tenant == tenant) & (Job.state == JobState.QUEUED) & Job.finished_at.is_(None)
    count, seconds = session.execute(select(func.count(), oldest).where(ours)).one()
    return Queue(count, seconds)


def last_queued(session: Session, tenant: str) -> Job | None:
    """Return the queued job of the tenant that is claimed last."""
    ours = (Job.tenant == tenant) & (Job.state == JobState.QUEUED)
    order = (Job.priority, Job.created_at.desc(), Job.id.desc())
    return session.execute(select(Job).where(ours).order_by(*order).limit(1)).scalar_one_or_none()


def failures(session: Session, tenant: str, *, limit: int) -> Sequence[Reason]:
    """Return recent failures, among the newest failed jobs, by error code, the most frequent first."""
    failed = select(Job.id, Job.finished_at, Job.error["code"].as_string().label("code"))
    ours = failed.where(Job.tenant == tenant, Job.state == JobState.FAILED, Job.deleted_at.is_(None))
    job = ours.order_by(Job.created_at.desc(), Job.id.desc()).limit(WINDOW).subquery().c
    place = func.row_number().over(partition_by=job.code, order_by=(job.finished_at.desc(), job.id))
    counted = select(
        job.code, func.count().over(partition_by=job.code).label("count"), job.id, job.finished_at, place.label("place")
    )
    ranked = counted.where(job.finished_at > in_seconds(-RECENT_SECONDS)).subquery().c
    rows = select(ranked.code, ranked.count, ranked.id, ranked.finished_at).where(ranked.place == 1)
    return [Reason(*row) for row in session.execute(rows.order_by(ranked.count.desc(), ranked.code).limit(limit))]


def throughput(session: Session, tenant: str) -> Sequence[Hour]:
    """Return ended jobs per hour of the last 24 hours, including hours without any."""
    this_hour = func.date_trunc("hour", func.now())
    first = this_hour - func.make_interval(0, 0, 0, 0, _HOURS - 1)
    hours = select(func.generate_series(first, this_hour, func.make_interval(0, 0, 0, 0, 1)).label("begins_at")).subquery()
    ended = func.count(Job.id)
    succeeded = ended.filter(Job.state == JobState.SUCCEEDED)
    of_hour = (
        (Job.tenant == tenant)
        & Job.deleted_at.is_(None)
        & (Job.finished_at >= first)
        & (func.date_trunc("hour", Job.finished_at) == hours.c.begins_at)
    )
    rows = (
        select(hours.c.begins_at, succeeded, ended - succeeded)
        .outerjoin(Job, of_hour)
        .group_by(hours.c.begins_at)
        .order_by(hours.c.begins_at)
    )
    return [Hour(*row) for row in session.execute(rows)]


def under_way(session: Session, tenant: str, *, limit: int) -> Sequence[Job]:
    """Return running and paused jobs, running ones first."""
    active = (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING, JobState.PAUSED)
    ours = (Job.tenant == tenant) & Job.state.in_(active) & Job.finished_at.is_(None) & Job.deleted_at.is_(None)
    waits = case((Job.state == JobState.PAUSED, 1), else_=0)
    return session.scalars(select(Job).where(ours).order_by(waits, Job.started_at, Job.id).limit(limit)).all()


def results(session: Session, tenant: str, *, limit: int) -> Sequence[Job]:
    """Return the newest succeeded jobs of the last seven days."""
    done = (Job.tenant == tenant) & (Job.state == JobState.SUCCEEDED) & Job.deleted_at.is_(None)
    recent = select(Job).where(done, Job.finished_at > in_seconds(-RECENT_SECONDS))
    return session.scalars(recent.order_by(Job.finished_at.desc(), Job.id).limit(limit)).all()


def models(session: Session, tenant: str, *, limit: int, source: str | None = None) -> Sequence[str]:
    """Return the names of the models of the tenant's newest jobs, sorted; of one source if it is given."""
    job = _newest(tenant, Job.model, *([_SOURCE.label("source")] if source else []))
    ours = select(job.c.model).where(job.c.source == source) if source else select(job.c.model)
    return session.scalars(ours.distinct().order_by(job.c.model).limit(limit)).all()


def _newest(tenant: str, *columns: Any) -> Subquery:
    newest = select(*columns).where(Job.tenant == tenant, Job.deleted_at.is_(None))
    return newest.order_by(Job.created_at.desc(), Job.id.desc()).limit(WINDOW).subquery()


def used_models(session: Session, tenant: str, *, limit: int) -> Sequence[UsedModel]:
    """Return the models of the newest jobs, most recent first."""
    job = _newest(tenant, Job.model, _SOURCE.label("source"), Job.state, Job.created_at, Job.id).c
    last_at, last_job = func.max(job.created_at), _first(job.id, job.created_at.desc(), job.id.desc())
    by_state = [func.count().filter(job.state == state) for state in JobState]
    statement = select(job.model, job.source, last_at, last_job, *by_state).group_by(job.model, job.source)
    rows = session.execute(statement.order_by(last_at.desc(), job.model).limit(limit)).all()
    best = _best(session, tenant, {row[0] for row in rows})
    return [
        UsedModel(model, source, _some(counts), last_job, last_at, best.get((model, source), ()))
        for model, source, last_at, last_job, *counts in rows
    ]


def _some(counts: Sequence[int]) -> Mapping[JobState, int]:
    return {state: count for state, count in zip(JobState, counts, strict=True) if count}


def _first(column: Any, *order: Any) -> Any:
    """Return the SQL expression of a group's first value in this order."""
    return type_coerce(func.array_agg(aggregate_order_by(column, *order)), ARRAY(column.type))[1]


def _best(session: Session, tenant: str, models: Collection[str]) -> Mapping[tuple[str, str | None], Sequence[Best]]:
    """Return the lowest perplexities of the newest jobs, by model and source; a job counts with its first data set."""
    source, pattern = Job.spec["model"]["source"].as_string(), Job.spec["recipe"]["pattern"]
    ours = (Job.tenant == tenant, Job.state == JobState.SUCCEEDED, Job.deleted_at.is_(None), Job.model.in_(models))
    columns = (Job.id, Job.model, source.label("source"), pattern.label("pattern"), Job.perplexity)
    newest = select(*columns, Job.metrics["pruned"]["perplexity"][0].label("measured")).where(*ours, Job.perplexity.is_not(None))
    # materialized: reading a job's metrics costs more than all else, and each figure would do it again
    row = newest.order_by(Job.created_at.desc(), Job.id.desc()).limit(MOST_COMPARED).cte().prefix_with("MATERIALIZED").c
    figures = [
        row.measured["dataset"].as_string().label("dataset"),
        row.measured["sequence_length"].as_integer().label("sequence_length"),
        row.measured["windows"].as_integer().label("windows"),
        func.coalesce(row.measured["bos"].as_string(), "stream").label("bos"),
    ]
    whole = select(row.id, row.model, row.source, row.pattern, row.perplexity, *figures)
    job = whole.where(func.jsonb_typeof(row.pattern) == "object").subquery().c
    alike = (job.model, job.source, job.pattern, job.dataset, job.sequence_length, job.windows, job.bos)
    lowest = select(*alike, func.min(job.perplexity), _first(job.id, job.perplexity, job.id)).group_by(*alike)
    rows = session.execute(lowest.order_by(*alike))
    found: dict[tuple[str, str | None], list[Best]] = {}
    for model, of_source, *rest in rows:
        found.setdefault((model, of_source), []).append(Best(*rest))
    return found


def better_job(session: Session, job: Job) -> LikeJob | None:
    """Return the job with the lowest perplexity of the same model and pattern, if it is lower than this job's.

    The newest jobs of the model are compared, by the perplexity on the first data set, measured on as many windows of the same
    length.
    """
    ours = ((job.metrics or {}).get("pruned") or {}).get("perplexity") or [{}]
    measured = Job.metrics["pruned"]["perplexity"][0]
    of_model = select(Job.id).where(Job.tenant == job.tenant, Job.model == job.model)
    newest = of_model.order_by(Job.created_at.desc(), Job.id.desc()).limit(MOST_COMPARED)
    conditions = {name: ours[0].get(name) for name in ("dataset", "windows", "sequence_length", "bos") if name in ours[0]}
    perplexity = measured["perplexity"].as_float()
    alike = (
        select(Job.id, Job.spec, Job.metrics)
        .where(Job.id.in_(newest), Job.tenant == job.tenant, Job.state == JobState.SUCCEEDED, Job.deleted_at.is_(None))
        .where(Job.id != job.id, Job.spec["model"]["source"].as_string() == job.spec["model"].get("source"))
        .where(Job.spec["recipe"]["pattern"] == type_coerce(job.spec["recipe"].get("pattern"), JSONB))
        .where(type_coerce(measured, JSONB).contains(conditions), perplexity < ours[0].get("perplexity"))
        .order_by(perplexity, Job.id)
        .limit(1)
    )
    row = session.execute(alike).one_or_none()
    return LikeJob(*row) if row else None


def key_names(session: Session, tenant: str, ids: Collection[str]) -> Mapping[str, str]:
    """Return the names of keys by id."""
    rows = session.execute(select(ApiKey.id, ApiKey.name).where(ApiKey.tenant == tenant, ApiKey.id.in_(ids)))
    return {key_id: name for key_id, name in rows}  # noqa: C416  # as in by_state


def last_lines(session: Session, job_id: UUID, wanted: LineFilter, *, limit: int) -> Sequence[JobLogLine]:
    """Return the last lines of a job's log, oldest first."""
    start = logs.start_of_tail(session, job_id, wanted, limit)
    return logs.after(session, job_id, start, wanted, limit)


def events(session: Session, job_id: UUID, *, types: Collection[EventType], newest_first: bool, limit: int) -> Sequence[JobEvent]:
    """Return a job's events of these types; of all types if none is named."""
    statement = select(JobEvent).where(JobEvent.job_id == job_id)
    if types:
        statement = statement.where(JobEvent.type.in_(types))
    order = JobEvent.seq.desc() if newest_first else JobEvent.seq
    return session.scalars(statement.order_by(order).limit(limit)).all()
