"""Messages that a transaction wants sent: they commit with it and are deleted once the broker has them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from service.contract import QUEUE
from service.database.engine import Base


class OutboxMessage(Base):
    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    task: Mapped[str]
    payload: Mapped[dict[str, Any]]
    queue: Mapped[str] = mapped_column(default=QUEUE, server_default=QUEUE)
    traceparent: Mapped[str | None]
    """The span that wanted it sent."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Not sent before: a retry waits here."""
