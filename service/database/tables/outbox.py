"""Transactional outbox: messages commit with their transaction and are deleted once the broker has accepted them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from service.contract.devices import QUEUE
from service.database.engine import Base


class OutboxMessage(Base):
    """One message to the broker."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    task: Mapped[str]
    payload: Mapped[dict[str, Any]]
    queue: Mapped[str] = mapped_column(default=QUEUE, server_default=QUEUE)
    traceparent: Mapped[str | None]
    """Span that enqueued the message."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Earliest time of sending, which delays retries."""
