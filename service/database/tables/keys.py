"""API keys. The secret is never stored, only its SHA-256."""

from datetime import datetime

from sqlalchemy import ARRAY, Index, LargeBinary, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The public part of `dsnot_<id>_<secret>`."""
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    old_secret_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    old_secret_until: Mapped[datetime | None]
    """Until then the secret before the last rotation opens as well."""
    tenant: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute: a write for each request would cost more than it tells."""

    __table_args__ = (Index("ix_api_keys_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),)
