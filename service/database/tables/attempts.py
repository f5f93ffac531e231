"""Attempts: a worker's claims of jobs, with their leases."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class Attempt(Base):
    """One claim of one job, until it succeeds, fails, is released or its lease expires."""

    __tablename__ = "attempts"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    fence: Mapped[int]
    worker: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_expires_at: Mapped[datetime]
    """Expiry by the database's clock; a heartbeat extends it."""
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    detail: Mapped[str | None]
    swept_at: Mapped[datetime | None]
    """Time at which its files were removed from the store; set at once for an attempt that succeeds, whose files are kept."""

    __table_args__ = (
        Index("ix_attempts_lease", "lease_expires_at", postgresql_where=text("ended_at IS NULL")),
        Index("ix_attempts_unswept", "ended_at", postgresql_where=text("swept_at IS NULL AND ended_at IS NOT NULL")),
        Index("uq_attempts_open", "job_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )
