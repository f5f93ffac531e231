"""Browser sessions: sign-in, also with one-time links, and sign-out.

A session has the rights of the key that opened it, and ends with that key.
"""

import hashlib
import secrets

from service.database.engine import Database, Session
from service.tenants.keys import repository as keys
from service.tenants.keys.repository import ValidKey
from service.tenants.keys.secrets import hash_of
from service.tenants.sessions import repository


def open_session(session: Session, key_id: str, secret: str, *, seconds: float) -> str:
    """Open a session for the holder of this key, within a transaction; return its token, of which only the hash is stored."""
    return add_session(session, key_id, hash_of(secret), seconds=seconds)


def add_session(session: Session, key_id: str, secret_sha256: bytes, *, seconds: float) -> str:
    """Open a session for the holder of the secret with this hash, within a transaction; return its token."""
    token = secrets.token_urlsafe(32)
    repository.add(session, token_sha256=_hash(token), key_id=key_id, secret_sha256=secret_sha256, seconds=seconds)
    return token


def create_link(session: Session, key_id: str, secret: str, *, seconds: float) -> str:
    """Create a one-time link for the holder of this key, within a transaction; return its token, which is stored as hash."""
    token = secrets.token_urlsafe(32)
    repository.add_link(session, token_sha256=_hash(token), key_id=key_id, secret_sha256=hash_of(secret), seconds=seconds)
    return token


def use_link(session: Session, token: str) -> tuple[ValidKey, bytes] | None:
    """Return key and hashed secret of a valid link, and delete it within the transaction: it opens one session only."""
    link = repository.take_link(session, _hash(token))
    valid = keys.valid(session, link.key_id) if link else None
    if link is None or valid is None or not _opens(valid, link.secret_sha256):
        return None
    return valid, link.secret_sha256


def find(session: Session, token: str) -> ValidKey | None:
    """Return the key of a session if both are valid, and record the use of the session."""
    opened = repository.valid(session, _hash(token))
    valid = keys.valid(session, opened.key_id) if opened else None
    if opened is None or valid is None or not _opens(valid, opened.secret_sha256):
        return None
    repository.note_use(session, opened.token_sha256)
    return valid


def close(database: Database, token: str) -> None:
    """Sign out one browser."""
    with database.begin() as session:
        key_id = repository.remove(session, _hash(token))
        if key_id is not None:
            keys.notify(session, key_id)


def close_all(database: Database, key_id: str) -> None:
    """Sign out every browser that signed in with this key."""
    with database.begin() as session:
        repository.remove_all(session, key_id)
        keys.notify(session, key_id)


def _opens(valid: ValidKey, secret_sha256: bytes) -> bool:
    """Return whether the secret with this hash is still one of the key's."""
    return secret_sha256 in {valid.key.secret_sha256, valid.key.old_secret_sha256 if valid.old_secret_opens else None}


def _hash(token: str) -> bytes:
    """Return the SHA-256; an unsalted fast hash is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
