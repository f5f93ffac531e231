"""Who did what, and what came of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class AuditEntry(Base):
    """One request that may change something, of whoever holds a valid key, or one command of whoever runs the service.

    It is written before the request is carried out, so that nothing is done of which nothing is known; the answer completes it.
    """

    __tablename__ = "audit_entries"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tenant: Mapped[str]
    key_id: Mapped[str | None]
    """None: a command of whoever runs the service."""
    action: Mapped[str]
    """The name of the operation in the OpenAPI document, such as `cancel_job`."""
    path: Mapped[str]
    """What it was done to, as in the address."""
    created: Mapped[str | None]
    """The address of what came into being."""
    status: Mapped[int | None] = mapped_column(SmallInteger)
    """Of the answer; None if the service ended before it, or the caller left: then what came of it is for its object to tell."""
    problem: Mapped[str | None]
    """Why it was refused: the problem's type without its prefix."""
    request_id: Mapped[str | None]
    address: Mapped[str | None]
    """Where the request came from."""

    __table_args__ = (
        Index("ix_audit_entries_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),
        Index("ix_audit_entries_created_at", "created_at"),
    )
