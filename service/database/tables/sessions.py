"""Dashboard sessions, each bound to an API key, and links that open them; only the SHA-256 of a token is stored."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class BrowserSession(Base):
    """One browser session; it has the permissions of its key and ends with it."""

    __tablename__ = "sessions"

    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    """SHA-256 of the secret used to sign in; when a rotation ends that secret, the session ends as well."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Time of last use, to the minute."""
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_sessions_key_id", "key_id"), Index("ix_sessions_expires_at", "expires_at"))


class SignInLink(Base):
    """One-time link that opens a browser session; it is deleted when it is used."""

    __tablename__ = "sign_in_links"

    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    """SHA-256 of the secret that created the link; the session is bound to it."""
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_sign_in_links_key_id", "key_id"), Index("ix_sign_in_links_expires_at", "expires_at"))
