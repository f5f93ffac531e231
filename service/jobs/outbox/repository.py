"""SQL of the transactional outbox: messages are inserted with the job; the dispatcher deletes them once the broker has them."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from service import tracing
from service.contract.devices import QUEUES
from service.contract.messages import PRUNE_TASK
from service.database.engine import in_seconds, table_of
from service.database.tables.outbox import OutboxMessage

MESSAGE: Final = ("task", "payload", "queue", "traceparent")
"""Columns set by the caller; they are also the parameters of statements elsewhere that insert a message."""

_ADD: Final = insert(table_of(OutboxMessage)).values(
    **{name: bindparam(name) for name in MESSAGE}, due_at=in_seconds(bindparam("delay_seconds"))
)


def add_job(session: Session, job_id: UUID, device: str, *, delay_seconds: float = 0) -> None:
    """Insert a message that notifies the workers that serve `device`, due `delay_seconds` from now."""
    session.connection().execute(_ADD, message_of(job_id, device) | {"delay_seconds": delay_seconds})


def message_of(job_id: UUID, device: str) -> dict[str, Any]:
    """Return a message that notifies the workers that serve `device` of a queued job.

    The job id is for logs only; a worker claims the next job in queue order.
    """
    payload = {"job_id": str(job_id)}
    return {"task": PRUNE_TASK, "payload": payload, "queue": QUEUES[device], "traceparent": tracing.current()}


def lock_due(session: Session, limit: int) -> Sequence[OutboxMessage]:
    """Return the oldest due messages that no other dispatcher has locked, locked until the transaction ends."""
    statement = select(OutboxMessage).where(OutboxMessage.due_at <= func.now()).order_by(OutboxMessage.id)
    return session.scalars(statement.limit(limit).with_for_update(skip_locked=True)).all()


def remove(session: Session, ids: Sequence[int]) -> None:
    """Delete these messages."""
    session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(ids)))


def count(session: Session, queue: str | None = None) -> int:
    """Count the messages, due or not, of one queue or of all."""
    statement = select(func.count()).select_from(OutboxMessage)
    return session.execute(statement if queue is None else statement.where(OutboxMessage.queue == queue)).scalar_one()
