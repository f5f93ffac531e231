"""SQL of the outbox: a transaction leaves a message in it; the dispatcher takes it out once the broker has it."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from service import tracing
from service.contract import PRUNE_TASK, QUEUES
from service.database.engine import in_seconds, table_of
from service.database.tables.outbox import OutboxMessage

MESSAGE: Final = ("task", "payload", "queue", "traceparent")
"""What is given of a message; a statement of others that writes one has these parameters, too."""

_ADD: Final = insert(table_of(OutboxMessage)).values(
    **{name: bindparam(name) for name in MESSAGE}, due_at=in_seconds(bindparam("delay_seconds"))
)


def add_job(session: Session, job_id: UUID, device: str, *, delay_seconds: float = 0) -> None:
    """Have the workers that serve `device` told that there is work, after this transaction and not before `delay_seconds`."""
    session.connection().execute(_ADD, message_of(job_id, device) | {"delay_seconds": delay_seconds})


def message_of(job_id: UUID, device: str) -> dict[str, Any]:
    """That there is work for the workers that serve `device`.

    The job is named for a log's reader; a worker claims the best.
    """
    payload = {"job_id": str(job_id)}
    return {"task": PRUNE_TASK, "payload": payload, "queue": QUEUES[device], "traceparent": tracing.current()}


def lock_due(session: Session, limit: int) -> Sequence[OutboxMessage]:
    """The oldest messages that are due and no other dispatcher is sending, locked until the transaction ends."""
    statement = select(OutboxMessage).where(OutboxMessage.due_at <= func.now()).order_by(OutboxMessage.id)
    return session.scalars(statement.limit(limit).with_for_update(skip_locked=True)).all()


def remove(session: Session, ids: Sequence[int]) -> None:
    session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(ids)))


def count(session: Session, queue: str | None = None) -> int:
    """How many messages wait, due or not: all, or those for one queue."""
    statement = select(func.count()).select_from(OutboxMessage)
    return session.execute(statement if queue is None else statement.where(OutboxMessage.queue == queue)).scalar_one()
