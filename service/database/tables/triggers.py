"""Triggers and their log of firings."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base
from service.database.tables.hooks import Hook


class Trigger(Hook):
    """Template of a job or sweep of a tenant that events instantiate."""

    __tablename__ = "triggers"
    noun = "trigger"

    name: Mapped[str]
    starts: Mapped[str] = mapped_column(server_default=text("'job'"))
    template: Mapped[dict[str, Any]]
    filter: Mapped[str | None]
    source: Mapped[str]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))

    __table_args__ = (Index("ix_triggers_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),)


class Firing(Base):
    """One event received by a trigger, and its outcome."""

    __tablename__ = "trigger_firings"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    trigger_id: Mapped[UUID] = mapped_column(ForeignKey("triggers.id", ondelete="CASCADE"))
    kind: Mapped[str]
    event_id: Mapped[str]
    outcome: Mapped[str]
    holds_event: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the event has created its job or sweep; while this row exists, a repetition creates none (unique index)."""
    refers_to: Mapped[UUID | None]
    """Original firing of a duplicate or replay; it may have been deleted since."""
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    sweep_id: Mapped[UUID | None] = mapped_column(ForeignKey("sweeps.id", ondelete="SET NULL"))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Problem document returned to the sender instead of a job."""
    event: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Event as placeholders see it; null for a duplicate."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("uq_trigger_firings_event", "trigger_id", "kind", "event_id", unique=True, postgresql_where=text("holds_event")),
        Index("ix_trigger_firings_newest", "trigger_id", text("created_at DESC"), text("id DESC")),
        Index(
            "ix_trigger_firings_unfired",
            "trigger_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("outcome <> 'fired'"),
        ),
        Index("ix_trigger_firings_created_at", "created_at"),
        Index("ix_trigger_firings_job", "job_id"),
        Index("ix_trigger_firings_sweep", "sweep_id", postgresql_where=text("sweep_id IS NOT NULL")),
    )
