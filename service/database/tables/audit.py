"""Audit log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class AuditEntry(Base):
    """One authenticated request that may change something, or one operator command.

    The row is inserted before the request is executed, so that no change goes unrecorded, and completed with the response.
    """

    __tablename__ = "audit_entries"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tenant: Mapped[str]
    key_id: Mapped[str | None]
    """Key of the caller; None: an operator command."""
    action: Mapped[str]
    """Operation id of the OpenAPI document, such as `cancel_job`."""
    path: Mapped[str]
    """Path of the object in the request URL."""
    created: Mapped[str | None]
    """URL of the created object."""
    status: Mapped[int | None] = mapped_column(SmallInteger)
    """HTTP status; None if the service ended or the caller disconnected first, in which case only the object shows the result."""
    problem: Mapped[str | None]
    """Problem type of a refusal, without its prefix."""
    request_id: Mapped[str | None]
    address: Mapped[str | None]
    """Client address of the request."""

    __table_args__ = (
        Index("ix_audit_entries_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),
        Index("ix_audit_entries_created_at", "created_at"),
    )
