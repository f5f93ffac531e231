"""SQL queries for webhooks and their deliveries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, true, update
from sqlalchemy.orm import Session, aliased, defer

from service.contract.webhooks import DeliveryState
from service.database import keyset
from service.database.engine import delete_batch, in_seconds
from service.database.tables.webhooks import Delivery, DeliveryAttempt, Webhook
from service.kit.pagination import Cursor

RECENT_SECONDS: Final = 7 * 86_400.0
_DUE: Final = (Delivery.state == DeliveryState.PENDING, Delivery.next_attempt_at <= func.now())


@dataclass(frozen=True)
class Due:
    """Delivery leased for one attempt."""

    id: UUID
    webhook_id: UUID
    attempt: int
    """Number of the attempt, from 1."""
    tried: int
    """Number of attempts since creation or the last replay, including this one."""


@dataclass(frozen=True)
class Candidate:
    """Due delivery that may be leased."""

    id: UUID
    webhook_id: UUID
    tenant: str
    url: str


@dataclass(frozen=True)
class Standing:
    """Recent deliveries of a webhook: the last one, the last answer, and counts over the last seven days."""

    last: Delivery | None
    tried: str | None = None
    """State of the newest delivery with an attempt; None without any."""
    status: int | None = None
    """HTTP status of that attempt's answer; None without one."""
    error: str | None = None
    pending: int = 0
    failed: int = 0

    @property
    def answer(self) -> str:
        """The last answer in words."""
        return f"HTTP status {self.status}" if self.status else self.error or "no answer"

    @property
    def is_failing(self) -> bool:
        """Whether the newest message that was tried has not been delivered."""
        return self.tried not in (None, DeliveryState.DELIVERED)


def of_tenant(session: Session, tenant: str) -> Sequence[Webhook]:
    """Return the tenant's webhooks, oldest first."""
    return session.scalars(select(Webhook).where(Webhook.tenant == tenant).order_by(Webhook.created_at, Webhook.id)).all()


def standings(session: Session, tenant: str) -> dict[UUID, Standing]:
    """Return the recent deliveries by webhook, for all webhooks of the tenant."""
    ours = Webhook.tenant == tenant
    of_webhook = select(Delivery).where(Delivery.webhook_id == Webhook.id)
    newest = of_webhook.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(1).lateral()
    last = aliased(Delivery, newest)
    tried = (
        select(DeliveryAttempt.status, DeliveryAttempt.error, Delivery.state)
        .join(Delivery, Delivery.id == DeliveryAttempt.delivery_id)
        .where(Delivery.webhook_id == Webhook.id)
        .order_by(Delivery.created_at.desc(), Delivery.id.desc(), DeliveryAttempt.number.desc())
        .limit(1)
        .lateral()
    )
    number = func.count()
    counted = (
        select(
            Delivery.webhook_id,
            number.filter(Delivery.state == DeliveryState.PENDING),
            number.filter(Delivery.state == DeliveryState.FAILED),
        )
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(ours, Delivery.created_at > in_seconds(-RECENT_SECONDS))
        .group_by(Delivery.webhook_id)
    )
    counts = {webhook_id: (pending, failed) for webhook_id, pending, failed in session.execute(counted)}
    found = select(Webhook.id, last, tried.c.state, tried.c.status, tried.c.error).select_from(Webhook)
    rows = session.execute(found.outerjoin(newest, true()).outerjoin(tried, true()).where(ours).options(defer(last.body)))
    return {webhook_id: Standing(*standing, *counts.get(webhook_id, ())) for webhook_id, *standing in rows}


def disable(session: Session, webhook_id: UUID, because: str) -> None:
    """Disable the webhook and fail its pending deliveries."""
    wanted = update(Webhook).where(Webhook.id == webhook_id, Webhook.disabled_at.is_(None))
    session.execute(wanted.values(disabled_at=func.now(), disabled_because=because))
    pending = update(Delivery).where(Delivery.webhook_id == webhook_id, Delivery.state == DeliveryState.PENDING)
    session.execute(pending.values(state=DeliveryState.FAILED, finished_at=func.now()))


def deliveries(
    session: Session, webhook_id: UUID, *, state: DeliveryState | None, kind: str | None, before: Cursor | None, limit: int
) -> Sequence[Delivery]:
    """Return the webhook's deliveries, newest first, without bodies; of one event type if `kind` is set."""
    statement = select(Delivery).where(Delivery.webhook_id == webhook_id).options(defer(Delivery.body))
    if state is not None:
        statement = statement.where(Delivery.state == state)
    if kind is not None:
        statement = statement.where(Delivery.type == kind)
    return keyset.newest(session, statement, Delivery.created_at, Delivery.id, before=before, limit=limit)


def of_job(session: Session, job_id: UUID, *, tenant: str, limit: int) -> Sequence[tuple[Webhook, Delivery]]:
    """Return the job's deliveries with their webhooks, newest first."""
    statement = select(Webhook, Delivery).join(Delivery, Delivery.webhook_id == Webhook.id)
    ours = statement.where(Delivery.job_id == job_id, Webhook.tenant == tenant).options(defer(Delivery.body))
    rows = session.execute(ours.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(limit))
    return [(webhook, delivery) for webhook, delivery in rows]


def attempts(session: Session, delivery_ids: Collection[UUID]) -> Sequence[DeliveryAttempt]:
    """Return the attempts of these deliveries, oldest first."""
    wanted = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(delivery_ids))
    return session.scalars(wanted.order_by(DeliveryAttempt.delivery_id, DeliveryAttempt.number)).all()


def replay(session: Session, webhook_id: UUID, delivery_id: UUID) -> Delivery | None:
    """Reschedule an ended delivery from the first retry; None if there is no ended delivery."""
    again = update(Delivery).where(
        Delivery.id == delivery_id, Delivery.webhook_id == webhook_id, Delivery.state != DeliveryState.PENDING
    )
    values = {
        "state": DeliveryState.PENDING,
        "next_attempt_at": func.now(),
        "finished_at": None,
        "tries_left_from": Delivery.attempts,
    }
    return session.scalars(again.values(**values).returning(Delivery)).one_or_none()


def delivery(session: Session, webhook_id: UUID, delivery_id: UUID) -> Delivery | None:
    """Return one delivery of the webhook."""
    return session.scalars(select(Delivery).where(Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)).one_or_none()


def candidates(session: Session, *, busy: Collection[UUID], limit: int) -> list[Candidate]:
    """Return the oldest due delivery of each webhook that is not `busy`; tenants take turns, the longest due first."""
    oldest = (
        select(Delivery.id, Delivery.webhook_id, Delivery.next_attempt_at, Webhook.tenant, Webhook.url)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .distinct(Delivery.webhook_id)
        .where(*_DUE, Delivery.webhook_id.not_in(busy))
        .order_by(Delivery.webhook_id, Delivery.created_at, Delivery.id)
        .subquery()
    )
    turn = func.row_number().over(partition_by=oldest.c.tenant, order_by=oldest.c.next_attempt_at)
    columns = oldest.c.id, oldest.c.webhook_id, oldest.c.tenant, oldest.c.url
    return [Candidate(*row) for row in session.execute(select(*columns).order_by(turn, oldest.c.next_attempt_at).limit(limit))]


def take(session: Session, delivery_ids: Collection[UUID], *, lease_seconds: float) -> list[Due]:
    """Lease those of the deliveries that are still due."""
    locked = select(Delivery.id).where(Delivery.id.in_(delivery_ids), *_DUE)
    taken = (
        update(Delivery)
        .where(Delivery.id.in_(locked.with_for_update(skip_locked=True)))
        .values(attempts=Delivery.attempts + 1, next_attempt_at=in_seconds(lease_seconds))
        .returning(Delivery.id, Delivery.webhook_id, Delivery.attempts, Delivery.attempts - Delivery.tries_left_from)
    )
    return [Due(*row) for row in session.execute(taken, execution_options={"synchronize_session": False})]


def take_next(session: Session, webhook_id: UUID, *, lease_seconds: float) -> Due | None:
    """Lease the oldest due delivery of a webhook."""
    oldest = select(Delivery.id).where(Delivery.webhook_id == webhook_id, *_DUE).order_by(Delivery.created_at, Delivery.id)
    return next(iter(take(session, session.scalars(oldest.limit(1)).all(), lease_seconds=lease_seconds)), None)


def postpone_all(session: Session, webhook_id: UUID, *, seconds: float) -> None:
    """Postpone all due deliveries of a webhook, without counting an attempt."""
    due = update(Delivery).where(Delivery.webhook_id == webhook_id, *_DUE)
    session.execute(due.values(next_attempt_at=in_seconds(seconds)), execution_options={"synchronize_session": False})


def note(session: Session, due: Due, *, seconds: float, status: int | None, error: str | None) -> bool:
    """Log an attempt; False if a later attempt has begun, so that this outcome must be ignored."""
    held = session.execute(
        select(Delivery.id).where(Delivery.id == due.id, Delivery.attempts == due.attempt).with_for_update()
    ).one_or_none()
    if held is None:
        return False
    session.add(DeliveryAttempt(delivery_id=due.id, number=due.attempt, seconds=seconds, status=status, error=error))
    session.flush()
    return True


def finish(session: Session, delivery_id: UUID, state: DeliveryState) -> None:
    """End a pending delivery."""
    _change(session, delivery_id, state=state, finished_at=func.now())


def try_again(session: Session, delivery_id: UUID, *, seconds: float) -> None:
    """Schedule the next attempt of a pending delivery."""
    _change(session, delivery_id, next_attempt_at=in_seconds(seconds))


def forget(session: Session, *, keep_seconds: float) -> int:
    """Delete a batch of deliveries that ended before the retention period; return their number."""
    return delete_batch(session, Delivery, Delivery.finished_at < in_seconds(-keep_seconds))


def _change(session: Session, delivery_id: UUID, **values: Any) -> None:
    pending = update(Delivery).where(Delivery.id == delivery_id, Delivery.state == DeliveryState.PENDING)
    session.execute(pending.values(**values), execution_options={"synchronize_session": False})
