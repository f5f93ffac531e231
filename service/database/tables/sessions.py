"""Sessions of the dashboard: who has signed in with which key. The token is never stored, only its SHA-256."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class BrowserSession(Base):
    """A browser that has shown a key. It may do what the key may, as long as the key works."""

    __tablename__ = "sessions"

    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    """Of the secret that was shown: once a rotation has closed it, it opens no session, either."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """To the minute."""
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_sessions_key_id", "key_id"), Index("ix_sessions_expires_at", "expires_at"))
