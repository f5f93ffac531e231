"""Webhooks, what is to be told to them, and how that went.

A database trigger writes the deliveries in the transaction that writes the event, whoever writes it. Secrets are not stored: they
are derived (`service.webhooks.signing`).
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.contract import DeliveryState
from service.database.engine import Base


class Webhook(Base):
    """An address that a tenant wants told of events."""

    __tablename__ = "webhooks"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    tenant: Mapped[str]
    url: Mapped[str]
    description: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(String))
    secret_number: Mapped[int] = mapped_column(server_default=text("1"))
    """Raised by every rotation; the secret follows from it."""
    old_secret_until: Mapped[datetime | None]
    """Until then messages are signed with the secret before as well."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]
    disabled_because: Mapped[str | None]

    __table_args__ = (Index("ix_webhooks_tenant", "tenant", "created_at", "id"),)


class Delivery(Base):
    """One message to one webhook. Its id is the message's: a receiver that has seen it may ignore it."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    type: Mapped[str]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    seq: Mapped[int | None]
    """Number of the job's event."""
    body: Mapped[str | None]
    """What is sent, byte for byte the same in every attempt; written by the first."""
    state: Mapped[str] = mapped_column(default=DeliveryState.PENDING, server_default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    tries_left_from: Mapped[int] = mapped_column(server_default=text("0"))
    """How many attempts there had been when it was last asked for: the schedule begins anew there."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """While an attempt goes on: when it is taken for lost."""
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index("ix_webhook_deliveries_newest", "webhook_id", text("created_at DESC"), text("id DESC")),
        Index("ix_webhook_deliveries_job", "job_id"),
    )


class DeliveryAttempt(Base):
    """One try, as the log of deliveries shows it."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seconds: Mapped[float]
    status: Mapped[int | None]
    """What the receiver answered; null if it did not."""
    error: Mapped[str | None]
