"""API keys. The secret is never stored, only its SHA-256."""

from datetime import datetime

from sqlalchemy import ARRAY, LargeBinary, String, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The public part of `dsnot_<id>_<secret>`."""
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    tenant: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
