"""SQL of browser sessions and sign-in links."""

from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.database.engine import delete_batch, in_seconds
from service.database.tables.sessions import BrowserSession, SignInLink

_USED_AGAIN_SECONDS: Final = 60.0


def add(session: Session, *, token_sha256: bytes, key_id: str, secret_sha256: bytes, seconds: float) -> None:
    """Insert a session that expires after `seconds`."""
    row = BrowserSession(token_sha256=token_sha256, key_id=key_id, secret_sha256=secret_sha256, expires_at=in_seconds(seconds))
    session.add(row)
    session.flush()


def valid(session: Session, token_sha256: bytes) -> BrowserSession | None:
    """Return the session, unless it has expired by the database's clock."""
    of_token = BrowserSession.token_sha256 == token_sha256
    return session.scalars(select(BrowserSession).where(of_token, BrowserSession.expires_at > func.now())).one_or_none()


def note_use(session: Session, token_sha256: bytes) -> None:
    """Record the time of use, at most once a minute; skip a row that another request has locked."""
    stale = (BrowserSession.token_sha256 == token_sha256) & (BrowserSession.last_used_at < in_seconds(-_USED_AGAIN_SECONDS))
    free = select(BrowserSession.token_sha256).where(stale).with_for_update(skip_locked=True)
    used = update(BrowserSession).where(BrowserSession.token_sha256.in_(free)).values(last_used_at=func.now())
    session.execute(used, execution_options={"synchronize_session": False})


def add_link(session: Session, *, token_sha256: bytes, key_id: str, secret_sha256: bytes, seconds: float) -> None:
    """Insert a link that expires after `seconds`."""
    row = SignInLink(token_sha256=token_sha256, key_id=key_id, secret_sha256=secret_sha256, expires_at=in_seconds(seconds))
    session.add(row)
    session.flush()


def take_link(session: Session, token_sha256: bytes) -> SignInLink | None:
    """Delete a link and return it, unless it has expired by the database's clock; of concurrent calls one gets it."""
    valid = (SignInLink.token_sha256 == token_sha256) & (SignInLink.expires_at > func.now())
    return session.scalars(delete(SignInLink).where(valid).returning(SignInLink)).one_or_none()


def forget_links(session: Session) -> int:
    """Delete a batch of expired links and return their number."""
    return delete_batch(session, SignInLink, SignInLink.expires_at < func.now())


def remove(session: Session, token_sha256: bytes) -> str | None:
    """Delete one session; return the id of its key, None if there is no such session."""
    gone = delete(BrowserSession).where(BrowserSession.token_sha256 == token_sha256).returning(BrowserSession.key_id)
    return session.scalars(gone).one_or_none()


def remove_all(session: Session, key_id: str) -> None:
    """Delete all sessions of a key."""
    session.execute(delete(BrowserSession).where(BrowserSession.key_id == key_id))


def forget(session: Session) -> int:
    """Delete a batch of expired sessions and return their number."""
    return delete_batch(session, BrowserSession, BrowserSession.expires_at < func.now())
