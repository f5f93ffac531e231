"""SQL queries for triggers and their firings."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased, defer

from service.contract.triggers import FiringOutcome
from service.database import keyset
from service.database.engine import delete_batch, in_seconds, save
from service.database.tables.triggers import Firing, Trigger
from service.kit.pagination import Cursor
from service.triggers.events import Event

RECENT_SECONDS: Final = 7 * 86_400.0
UNFIRED_KEPT: Final = 500
"""Events of a trigger that are logged without having started a job: duplicate, filtered, refused or failed."""


@dataclass(frozen=True)
class Standing:
    """Recent activity of a trigger: last firing, and counts over the last seven days."""

    last: Firing | None
    count: int = 0
    fired: int = 0
    refused: int = 0
    """Number of refused or failed events."""


def find(session: Session, trigger_id: UUID) -> Trigger | None:
    """Return a trigger of any tenant."""
    return session.get(Trigger, trigger_id)


def newest(session: Session, *, tenant: str, before: Cursor | None, limit: int) -> Sequence[Trigger]:
    """Return the tenant's triggers, newest first."""
    statement = select(Trigger).where(Trigger.tenant == tenant)
    return keyset.newest(session, statement, Trigger.created_at, Trigger.id, before=before, limit=limit)


def standings(session: Session, trigger_ids: Collection[UUID]) -> dict[UUID, Standing]:
    """Return the recent activity by trigger."""
    of_trigger = select(Firing).where(Firing.trigger_id == Trigger.id)
    newest = of_trigger.order_by(Firing.created_at.desc(), Firing.id.desc()).limit(1).lateral()
    last = aliased(Firing, newest)
    number = func.count()
    counted = (
        select(
            Firing.trigger_id,
            number,
            number.filter(Firing.outcome == FiringOutcome.FIRED),
            number.filter(Firing.outcome.in_((FiringOutcome.REFUSED, FiringOutcome.FAILED))),
        )
        .where(Firing.trigger_id.in_(trigger_ids), Firing.created_at > in_seconds(-RECENT_SECONDS))
        .group_by(Firing.trigger_id)
    )
    counts = {trigger_id: tuple(numbers) for trigger_id, *numbers in session.execute(counted)}
    rows = session.execute(
        select(Trigger.id, last).outerjoin(newest, true()).where(Trigger.id.in_(trigger_ids)).options(defer(last.event))
    )
    return {trigger_id: Standing(firing, *counts.get(trigger_id, ())) for trigger_id, firing in rows}


def note(
    session: Session, trigger_id: UUID, event: Event, outcome: FiringOutcome, *, with_event: bool = True, **values: Any
) -> Firing:
    """Log an event that starts no job or, for a replay, does not hold the event."""
    kept = event.document() if with_event else None
    made = Firing(trigger_id=trigger_id, kind=event.kind, event_id=event.id, outcome=outcome, event=kept, **values)
    return save(session, made)


def hold(session: Session, trigger_id: UUID, event: Event, *, refers_to: UUID | None = None) -> Firing | None:
    """Insert the firing that holds an event, so that it starts no other job; None if another firing holds it.

    Waits for a concurrent transaction that is inserting the same event.
    """
    taken = insert(Firing).values(
        trigger_id=trigger_id,
        kind=event.kind,
        event_id=event.id,
        outcome=FiringOutcome.FIRED,
        holds_event=True,
        refers_to=refers_to,
        event=event.document(),
    )
    free = taken.on_conflict_do_nothing(
        index_elements=[Firing.trigger_id, Firing.kind, Firing.event_id], index_where=text("holds_event")
    )
    return session.scalars(free.returning(Firing)).one_or_none()


def holder(session: Session, trigger_id: UUID, event: Event) -> Firing | None:
    """Return the firing that holds the event."""
    same = (Firing.trigger_id == trigger_id, Firing.kind == event.kind, Firing.event_id == event.id)
    return session.scalars(select(Firing).where(*same, Firing.holds_event)).one_or_none()


def firing(session: Session, trigger_id: UUID, firing_id: UUID) -> Firing | None:
    """Return one firing of the trigger."""
    return session.scalars(select(Firing).where(Firing.id == firing_id, Firing.trigger_id == trigger_id)).one_or_none()


def firings(
    session: Session, trigger_id: UUID, *, outcome: FiringOutcome | None, before: Cursor | None, limit: int
) -> Sequence[Firing]:
    """Return the trigger's firings, newest first, without their events, which may be long."""
    statement = select(Firing).where(Firing.trigger_id == trigger_id).options(defer(Firing.event))
    if outcome is not None:
        statement = statement.where(Firing.outcome == outcome)
    return keyset.newest(session, statement, Firing.created_at, Firing.id, before=before, limit=limit)


def forget(session: Session, *, keep_seconds: float) -> int:
    """Delete a batch of old log entries and return their number; an event sent again after that starts a job again."""
    return delete_batch(session, Firing, Firing.created_at < in_seconds(-keep_seconds))


def forget_unfired(session: Session) -> int:
    """Delete a batch of each trigger's events that started no job, beyond the newest `UNFIRED_KEPT`; return their number."""
    started_none = select(Firing.id).where(Firing.trigger_id == Trigger.id, Firing.outcome != FiringOutcome.FIRED)
    newest_first = started_none.order_by(Firing.created_at.desc(), Firing.id.desc())
    beyond = newest_first.offset(UNFIRED_KEPT).lateral()
    return delete_batch(session, Firing, Firing.id.in_(select(beyond.c.id).select_from(Trigger).join(beyond, true())))
