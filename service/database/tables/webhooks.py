"""Webhook subscriptions, their deliveries and delivery attempts.

A database trigger inserts the deliveries in the transaction that inserts the event.
"""

from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import ARRAY, ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.contract.webhooks import DeliveryState, WebhookFormat
from service.database.engine import Base
from service.database.tables.hooks import Hook

SHORTENED: Final = "/…"
"""Mark in a shown URL in place of the path."""
_SHOWN: Final = 4
_LONG: Final = 24
"""Length of a path from which on its last four characters are shown."""


class Webhook(Hook):
    """Subscription of a URL to a tenant's job events."""

    __tablename__ = "webhooks"
    noun = "webhook"

    url: Mapped[str]
    format: Mapped[str] = mapped_column(server_default=WebhookFormat.DSNOT)
    events: Mapped[list[str]] = mapped_column(ARRAY(String))
    disabled_at: Mapped[datetime | None]
    disabled_because: Mapped[str | None]

    __table_args__ = (Index("ix_webhooks_tenant", "tenant", "created_at", "id"),)

    @property
    def enabled(self) -> bool:
        """Whether events are sent."""
        return self.disabled_at is None

    @property
    def shown_url(self) -> str:
        """URL for responses and pages; that of a chat service without its path, which authorises to post messages."""
        if self.format != WebhookFormat.SLACK:
            return self.url
        parts = urlsplit(self.url)
        path = parts._replace(scheme="", netloc="").geturl()
        return f"{parts.scheme}://{parts.netloc}{SHORTENED}{path[-_SHOWN:] if len(path) >= _LONG else ''}"


class Delivery(Base):
    """One message to one webhook; its id is the `webhook-id` by which receivers deduplicate."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    type: Mapped[str]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    sweep_id: Mapped[UUID | None] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    seq: Mapped[int | None]
    """Sequence number of the event of the job or sweep."""
    body: Mapped[str | None]
    """Body, written by the first attempt and identical in all."""
    state: Mapped[str] = mapped_column(default=DeliveryState.PENDING, server_default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    tries_left_from: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of attempts before the last replay, from which the retry schedule restarts."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Time of the next attempt; during an attempt, the expiry of its lease."""
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index("ix_webhook_deliveries_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("ix_webhook_deliveries_newest", "webhook_id", text("created_at DESC"), text("id DESC")),
        Index("ix_webhook_deliveries_job", "job_id"),
        Index("ix_webhook_deliveries_sweep", "sweep_id", postgresql_where=text("sweep_id IS NOT NULL")),
    )


class DeliveryAttempt(Base):
    """One delivery attempt, as shown in the delivery log."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seconds: Mapped[float]
    status: Mapped[int | None]
    """HTTP status of the receiver; null without a response."""
    error: Mapped[str | None]
