"""Sweeps and their events. Their points are jobs, which refer to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.contract.sweeps import SweepState
from service.database.engine import Base


class Sweep(Base):
    """A job template with its points."""

    __tablename__ = "sweeps"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    state: Mapped[str] = mapped_column(default=SweepState.RUNNING)
    name: Mapped[str | None]
    model: Mapped[str]
    labels: Mapped[dict[str, Any]]
    spec: Mapped[dict[str, Any]]
    """Body with the model's revision pinned in the template."""
    event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    """Sequence number of the sweep's last event."""
    search: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Bracket and answer of a search so far (`service.sweeps.search.SearchView`)."""
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Failure that no job has: a search that cannot continue."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_sweeps_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),
        Index("ix_sweeps_ended", "tenant", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("ix_sweeps_unfinished", "id", postgresql_where=text("finished_at IS NULL")),
    )


class SweepEvent(Base):
    """One event of a sweep. `seq` counts from 1 without gaps; database triggers notify listeners and webhooks."""

    __tablename__ = "sweep_events"

    sweep_id: Mapped[UUID] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
