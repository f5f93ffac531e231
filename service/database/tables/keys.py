"""API keys; only the SHA-256 of a secret is stored."""

from datetime import datetime

from sqlalchemy import ARRAY, Index, LargeBinary, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class ApiKey(Base):
    """One API key of a tenant."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Public part of `dsnot_<id>_<secret>`."""
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    old_secret_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    old_secret_until: Mapped[datetime | None]
    """Time until which the secret before the last rotation is accepted as well."""
    tenant: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """Time of last use, to the minute, because a write per request would be too expensive."""

    __table_args__ = (Index("ix_api_keys_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),)
