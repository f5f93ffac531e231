"""SQL of sweeps and their points."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from service.contract.states import TERMINAL_STATES, JobState
from service.contract.sweeps import SweepEventType, SweepSpec, SweepState
from service.database import keyset
from service.database.engine import delete_batch, save
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.database.tables.sweeps import Sweep, SweepEvent
from service.jobs import sweep_links
from service.kit.pagination import Cursor
from service.tenants.quotas.retention import past_retention

_BATCH: Final = 20
_FORGOTTEN: Final = 500
_BLIND: Final[dict[str, Any]] = {"synchronize_session": False}


def insert(session: Session, spec: SweepSpec, *, tenant: str, model: str, labels: Mapping[str, str]) -> Sweep:
    """Insert a sweep with its first event."""
    columns = {"model": model, "labels": dict(labels), "name": spec.name, "spec": spec.model_dump(mode="json")}
    sweep = save(session, Sweep(id=uuid4(), tenant=tenant, **columns))
    sweep_links.append(session, sweep.id, SweepEventType.CREATED)
    return sweep


def get(session: Session, sweep_id: UUID, *, tenant: str, lock: bool = False) -> Sweep | None:
    """Return the tenant's sweep; with `lock`, locked until the transaction ends."""
    statement = select(Sweep).where(Sweep.id == sweep_id, Sweep.tenant == tenant)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def newest(
    session: Session, *, tenant: str, states: Collection[SweepState], before: Cursor | None, limit: int
) -> Sequence[Sweep]:
    """Return the tenant's sweeps, newest first; of these states if any are given."""
    statement = select(Sweep).where(Sweep.tenant == tenant)
    if states:
        statement = statement.where(Sweep.state.in_(states))
    return keyset.newest(session, statement, Sweep.created_at, Sweep.id, before=before, limit=limit)


def points(session: Session, sweep_id: UUID) -> Sequence[Job]:
    """Return the job of every point, in their order; of a retried point the newest."""
    newest_job = (
        select(Job)
        .where(Job.sweep_id == sweep_id, Job.deleted_at.is_(None))
        .distinct(Job.sweep_position)
        .order_by(Job.sweep_position, Job.created_at.desc(), Job.id)
    )
    return session.scalars(newest_job).all()


def all_jobs(session: Session, sweep_id: UUID) -> Sequence[Job]:
    """Return all jobs of the sweep, also those that were retried."""
    return session.scalars(select(Job).where(Job.sweep_id == sweep_id, Job.deleted_at.is_(None))).all()


def counts(session: Session, sweep_ids: Collection[UUID]) -> dict[UUID, dict[JobState, int]]:
    """Return the number of points by the state of their newest job, for each sweep that has any."""
    current = (
        select(Job.sweep_id, Job.state)
        .where(Job.sweep_id.in_(sweep_ids), Job.deleted_at.is_(None))
        .distinct(Job.sweep_id, Job.sweep_position)
        .order_by(Job.sweep_id, Job.sweep_position, Job.created_at.desc(), Job.id)
        .subquery()
    )
    rows = session.execute(
        select(current.c.sweep_id, current.c.state, func.count()).group_by(current.c.sweep_id, current.c.state)
    )
    found: dict[UUID, dict[JobState, int]] = {}
    for sweep_id, state, number in rows:
        found.setdefault(sweep_id, {})[JobState(state)] = number
    return found


def due(session: Session) -> Sequence[Sweep]:
    """Return locked sweeps with a point that has ended since the last look, or with nothing left to wait for."""
    ended, open_job = aliased(Job), aliased(Job)
    has_news = exists().where(ended.sweep_id == Sweep.id, ended.finished_at.is_not(None), ended.sweep_seq.is_(None))
    is_waiting = exists().where(open_job.sweep_id == Sweep.id, open_job.finished_at.is_(None))
    statement = select(Sweep).where(Sweep.finished_at.is_(None), has_news | ~(is_waiting | _is_paused_search()))
    return session.scalars(statement.order_by(Sweep.id).limit(_BATCH).with_for_update(skip_locked=True)).all()


def _is_paused_search() -> ColumnElement[bool]:
    is_search: ColumnElement[bool] = Sweep.spec["target"].as_string().is_not(None)
    return (Sweep.state == SweepState.PAUSED) & is_search


def cancelling(session: Session) -> Sequence[tuple[UUID, str]]:
    """Return id and tenant of the sweeps that are to be cancelled and still have jobs."""
    job = aliased(Job)
    is_waiting = exists().where(job.sweep_id == Sweep.id, job.finished_at.is_(None), job.state != JobState.CANCELLING)
    statement = select(Sweep.id, Sweep.tenant).where(
        Sweep.finished_at.is_(None), Sweep.state == SweepState.CANCELLING, is_waiting
    )
    return session.execute(statement.limit(_BATCH)).tuples().all()


def ended_unnoted(session: Session, sweep_id: UUID) -> Sequence[Job]:
    """Return the jobs of a sweep whose end has no event yet, in the order of their ends."""
    statement = select(Job).where(Job.sweep_id == sweep_id, Job.finished_at.is_not(None), Job.sweep_seq.is_(None))
    return session.scalars(statement.order_by(Job.finished_at, Job.id)).all()


def note_end(session: Session, job_id: UUID, seq: int) -> None:
    """Record the number of the event about the end of a job."""
    session.execute(update(Job).where(Job.id == job_id).values(sweep_seq=seq), execution_options=_BLIND)


def unfinished(session: Session, sweep_id: UUID) -> Sequence[UUID]:
    """Return the jobs of the sweep that have not ended, in the order of their points."""
    statement = select(Job.id).where(Job.sweep_id == sweep_id, Job.state.not_in(TERMINAL_STATES))
    return session.scalars(statement.order_by(Job.sweep_position)).all()


def change(session: Session, sweep: Sweep, state: SweepState, event: SweepEventType, data: dict[str, Any] | None = None) -> None:
    """Set the state of a locked sweep and append an event."""
    sweep.state = state
    session.flush()
    sweep_links.append(session, sweep.id, event, data)


def finish(session: Session, sweep: Sweep, state: SweepState, data: dict[str, Any] | None = None) -> None:
    """Set a locked sweep to a final state and append the event of that name."""
    session.flush()
    session.execute(update(Sweep).where(Sweep.id == sweep.id).values(finished_at=func.now()), execution_options=_BLIND)
    change(session, sweep, state, SweepEventType(state), data)


def delete(session: Session, sweep: Sweep) -> None:
    """Delete a sweep with its events; its jobs lose their link to it."""
    unlinked = update(Job).where(Job.sweep_id == sweep.id).values(sweep_id=None, sweep_position=None, sweep_values=None)
    session.execute(unlinked, execution_options=_BLIND)
    session.delete(sweep)


def forget(session: Session, *, keep_seconds: float | None) -> int:
    """Delete a batch of sweeps that ended before the jobs' retention period and have no jobs left; return their number."""
    job = aliased(Job)
    ended, own = Sweep.finished_at.is_not(None), TenantQuota.keep_jobs_seconds
    is_empty = ~exists().where(job.sweep_id == Sweep.id)
    old = past_retention(Sweep.finished_at, own, keep_seconds, ended, also=lambda _: [is_empty], limit=_FORGOTTEN)
    return delete_batch(session, Sweep, Sweep.id.in_(old), ended, is_empty)


def events_after(session: Session, sweep_id: UUID, number: int, limit: int) -> Sequence[SweepEvent]:
    """Return up to `limit` events with numbers above `number`, oldest first."""
    statement = select(SweepEvent).where(SweepEvent.sweep_id == sweep_id, SweepEvent.seq > number)
    return session.scalars(statement.order_by(SweepEvent.seq).limit(limit)).all()
