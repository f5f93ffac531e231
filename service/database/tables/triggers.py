"""Triggers, and the log of what fired them. Secrets are not stored: they are derived (`service.triggers.proofs`)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class Trigger(Base):
    """A job that a tenant has described and that events start."""

    __tablename__ = "triggers"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    tenant: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    template: Mapped[dict[str, Any]]
    filter: Mapped[str | None]
    source: Mapped[str]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    secret_number: Mapped[int] = mapped_column(server_default=text("1"))
    """Raised by every rotation; the secret follows from it."""
    old_secret_until: Mapped[datetime | None]
    """Until then the secret before holds as well."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_triggers_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),)


class Firing(Base):
    """One event that came for a trigger, and what came of it."""

    __tablename__ = "trigger_firings"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    trigger_id: Mapped[UUID] = mapped_column(ForeignKey("triggers.id", ondelete="CASCADE"))
    kind: Mapped[str]
    event_id: Mapped[str]
    outcome: Mapped[str]
    holds_event: Mapped[bool] = mapped_column(server_default=text("false"))
    """The event has started its job: while this row is there, it starts no other."""
    refers_to: Mapped[UUID | None]
    """The firing that a duplicate repeats or that was replayed; it may be forgotten by now."""
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What the sender was answered instead of a job."""
    event: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What placeholders see; null for a duplicate."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("uq_trigger_firings_event", "trigger_id", "kind", "event_id", unique=True, postgresql_where=text("holds_event")),
        Index("ix_trigger_firings_newest", "trigger_id", text("created_at DESC"), text("id DESC")),
        Index("ix_trigger_firings_created_at", "created_at"),
        Index("ix_trigger_firings_job", "job_id"),
    )
