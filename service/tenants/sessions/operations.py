"""Browser sessions: sign-in and sign-out. A session has the rights of the key that opened it, and ends with that key."""

import hashlib
import secrets

from service.database.engine import Database, Session
from service.tenants.keys import repository as keys
from service.tenants.keys.repository import ValidKey
from service.tenants.keys.secrets import hash_of
from service.tenants.sessions import repository


def open_session(session: Session, key_id: str, secret: str, *, seconds: float) -> str:
    """Open a session for the holder of this key, within a transaction; return its token, of which only the hash is stored."""
    token = secrets.token_urlsafe(32)
    repository.add(session, token_sha256=_hash(token), key_id=key_id, secret_sha256=hash_of(secret), seconds=seconds)
    return token


def find(session: Session, token: str) -> ValidKey | None:
    """Return the key of a session if both are valid, and record the use of the session."""
    opened = repository.valid(session, _hash(token))
    valid = keys.valid(session, opened.key_id) if opened else None
    if opened is None or valid is None:
        return None
    still_open = {valid.key.secret_sha256, valid.key.old_secret_sha256 if valid.old_secret_opens else None}
    if opened.secret_sha256 not in still_open:
        return None
    repository.note_use(session, opened.token_sha256)
    return valid


def close(database: Database, token: str) -> None:
    """Sign out one browser."""
    with database.begin() as session:
        repository.remove(session, _hash(token))


def close_all(database: Database, key_id: str) -> None:
    """Sign out every browser that signed in with this key."""
    with database.begin() as session:
        repository.remove_all(session, key_id)


def _hash(token: str) -> bytes:
    """Return the SHA-256; an unsalted fast hash is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
