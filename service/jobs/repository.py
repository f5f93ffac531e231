"""SQL of jobs for the API. The workers' writes are in `service.jobs.attempts`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, exists, func, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.contract.states import JobState, sources_of
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job, Layer
from service.jobs.sorting import JobOrder, Place

_LAST: Final = 50
WINDOW: Final = 10_000
"""Newest jobs among which those are found that no index leads to: by text and preset, and in other orders than by creation."""
_WITH_GAPS: Final = {"finished_at": "timestamptz"} | dict.fromkeys(
    ("size", "sparsity", "perplexity", "agreement", "duration"), "float8"
)
"""Sort keys that some jobs lack, with their SQL types, which have infinite values."""
_Uuid = InstrumentedAttribute[UUID] | UUID
_Text = InstrumentedAttribute[str] | str


@dataclass(frozen=True)
class JobFilter:
    """Filter of a job list; empty fields do not filter."""

    states: Sequence[JobState] = ()
    model: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None
    search: str | None = None
    """Substring of the job's name, the model's id or a label as `name=value`, or prefix of the id."""
    sweep: UUID | None = None
    presets: Sequence[str] = ()
    model_parts: Sequence[str] = ()
    """Substrings of the model's id."""
    label_names: Sequence[str] = ()
    """Names of labels that the job has, with any value."""

    @property
    def is_empty(self) -> bool:
        """Whether all jobs match."""
        return not any(getattr(self, each.name) for each in fields(self))


def now(session: Session) -> datetime:
    """Return the database's time."""
    return session.execute(select(func.now())).scalar_one()


def work_of_model(session: Session, job: Job) -> dict[str, Any] | None:
    """Return the work of the tenant's newest job with the same model, if one of the last `_LAST` jobs has measured it."""
    last = (
        select(Job.work, Job.created_at)
        .where(Job.tenant == job.tenant, Job.model == job.model)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(_LAST)
        .subquery()
    )
    return session.scalars(
        select(last.c.work).where(last.c.work.is_not(None)).order_by(last.c.created_at.desc()).limit(1)
    ).one_or_none()


def count_queued(session: Session, tenant: str) -> int:
    """Count the tenant's queued jobs."""
    statement = select(func.count()).where(Job.tenant == tenant, Job.state == JobState.QUEUED, Job.finished_at.is_(None))
    return session.execute(statement).scalar_one()


def get(session: Session, job_id: UUID, *, tenant: str, lock: bool = False, share: bool = False) -> Job | None:
    """Return the tenant's job; with `lock` or `share`, locked exclusively or shared until the transaction ends."""
    statement = select(Job).where(Job.id == job_id, Job.tenant == tenant, Job.deleted_at.is_(None))
    return session.scalars(statement.with_for_update(read=share) if lock or share else statement).one_or_none()


def user_of_artifact(session: Session, job: Job) -> UUID | None:
    """Return an unfinished job of the same tenant that prunes this job's artifact, if there is one."""
    return session.scalars(select(Job.id).where(uses_artifact(Job, job.id, job.tenant)).limit(1)).one_or_none()


def uses_artifact(user: type[Job], job_id: _Uuid, tenant: _Text) -> ColumnElement[bool]:
    """Build the condition that `user` is unfinished and prunes the artifact of job `job_id`."""
    is_model: ColumnElement[bool] = (user.spec["model"]["source"].as_string() == "job") & (user.model == cast(job_id, String))
    return user.finished_at.is_(None) & (user.tenant == tenant) & is_model


def reload(session: Session, job: Job) -> None:
    """Reload the row after statements and triggers have changed it."""
    session.flush()
    session.refresh(job)


def listed(
    session: Session, wanted: JobFilter, *, tenant: str, order: JobOrder, behind: Place | None, limit: int
) -> Sequence[Job]:
    """Return up to `limit` of the tenant's jobs in this order, after the place."""
    statement = select(Job).where(Job.tenant == tenant, Job.deleted_at.is_(None), *conditions(wanted))
    if has_unindexed(wanted) or order not in (JobOrder.NEWEST, JobOrder.OLDEST):
        statement = statement.where(is_in_window(wanted, tenant=tenant))
    if behind is not None:
        statement = statement.where(_is_behind(behind))
    return session.scalars(statement.order_by(*ordering(order)).limit(limit)).all()


def has_unindexed(wanted: JobFilter) -> bool:
    """Return whether jobs are filtered by something that no index leads to."""
    return any((wanted.search, wanted.presets, wanted.model_parts, wanted.label_names))


def is_in_window(wanted: JobFilter, *, tenant: str) -> ColumnElement[bool]:
    """Build the condition that a job is among the newest `WINDOW` that match the filters with an index."""
    indexed = replace(wanted, search=None, presets=(), model_parts=(), label_names=())
    matching = select(Job.created_at).where(Job.tenant == tenant, *conditions(indexed)).correlate(None)
    oldest = matching.order_by(Job.created_at.desc(), Job.id.desc()).offset(WINDOW - 1).limit(1).scalar_subquery()
    # two bounds that the planner does not know: it expects few rows and reads the index; with one it reads a third of the table
    newest = select(text("'infinity'::timestamptz")).scalar_subquery()
    return Job.created_at.between(func.coalesce(oldest, text("'-infinity'::timestamptz")), newest)


def ordering(order: JobOrder) -> Sequence[ColumnElement[Any]]:
    """Return the ORDER BY of a list."""
    key = _key(order, getattr(Job, order.attribute))
    first = key.desc() if order.is_descending else key.asc()
    is_downwards = order != JobOrder.OLDEST
    rest = (Job.created_at.desc(), Job.id.desc()) if is_downwards else (Job.created_at.asc(), Job.id.asc())
    return first, *rest


def conditions(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a filter."""
    if wanted.states:
        yield Job.state.in_(wanted.states)
    if wanted.model is not None:
        yield Job.model == wanted.model
    if wanted.labels:
        yield Job.labels.contains(wanted.labels)
    if wanted.created_after is not None:
        yield Job.created_at > wanted.created_after
    if wanted.created_before is not None:
        yield Job.created_at < wanted.created_before
    if wanted.sweep is not None:
        yield Job.sweep_id == wanted.sweep
    if wanted.presets:
        yield Job.spec["recipe"]["preset"].as_string().in_(wanted.presets)
    for part in wanted.model_parts:
        yield Job.model.icontains(part, autoescape=True)
    if wanted.label_names:
        yield Job.labels.has_all(array(wanted.label_names))
    if wanted.search:
        yield _holds(wanted.search)


def _holds(part: str) -> ColumnElement[bool]:
    """Build the search condition: case-insensitive, without wildcards."""
    label = func.jsonb_each_text(Job.labels).table_valued("key", "value").alias("label")
    in_label = exists().select_from(label).where((label.c.key + "=" + label.c.value).icontains(part, autoescape=True))
    is_id = cast(Job.id, String).istartswith(part, autoescape=True)
    is_named = Job.name.icontains(part, autoescape=True)
    return Job.model.icontains(part, autoescape=True) | is_named | is_id | in_label


def _is_behind(place: Place) -> ColumnElement[bool]:
    if place.order == JobOrder.OLDEST:
        return tuple_(Job.created_at, Job.id) > (place.created_at, place.id)
    is_older = tuple_(Job.created_at, Job.id) < (place.created_at, place.id)
    if place.order == JobOrder.NEWEST:
        return is_older
    column = getattr(Job, place.order.attribute)
    key, end = _key(place.order, column), _key(place.order, literal(place.value, column.type))
    # the first condition is implied by the second, but lets the database start in an index
    if place.order.is_descending:
        return (key <= end) & ((key < end) | is_older)
    return (key >= end) & ((key > end) | is_older)


def _key(order: JobOrder, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Build the sort key: names are case-insensitive, and jobs without a value come last in both directions."""
    if order.column in ("model", "name"):
        return func.lower(value)
    kind = _WITH_GAPS.get(order.column)
    if kind is None:
        return value
    return func.coalesce(value, text(f"'{'-' if order.is_descending else ''}infinity'::{kind}"))


def queue_again(session: Session, job_id: UUID) -> None:
    """Requeue a paused job at its old position, with its deadlines extended by the pause."""
    paused = func.now() - Job.paused_at
    moved = {"queue_deadline_at": Job.queue_deadline_at + paused, "run_deadline_at": Job.run_deadline_at + paused}
    change(session, job_id, JobState.QUEUED, paused_at=None, available_at=func.now(), sent_at=None, **moved)


def change(session: Session, job_id: UUID, target: JobState, **values: Any) -> None:
    """Change a job to another state that is not final.

    Raises:
        sqlalchemy.exc.NoResultFound: its state does not allow that.
    """
    changed = update(Job).where(Job.id == job_id, Job.state.in_(sources_of(target))).values(state=target, **values)
    session.execute(changed.returning(Job.id), execution_options={"synchronize_session": False}).one()


def retry_of(session: Session, job_id: UUID) -> Job | None:
    """Return the job that retries this one, if there is one."""
    return session.scalars(select(Job).where(Job.retry_of == job_id, Job.deleted_at.is_(None))).one_or_none()


def mark_deleted(session: Session, job_id: UUID) -> None:
    """Soft-delete the job; garbage collection removes its files in the store, then its row."""
    session.execute(
        update(Job).where(Job.id == job_id).values(deleted_at=func.now()), execution_options={"synchronize_session": False}
    )


def attempts(session: Session, job_id: UUID) -> Sequence[Attempt]:
    """Return the job's attempts, oldest first."""
    return session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)).all()


def layers(session: Session, job_id: UUID, *, after: int, limit: int) -> Sequence[Layer]:
    """Return up to `limit` matrices after position `after`, in model order."""
    statement = select(Layer).where(Layer.job_id == job_id, Layer.position > after)
    return session.scalars(statement.order_by(Layer.position).limit(limit)).all()
