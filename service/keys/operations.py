"""API keys: making, checking and revoking them. `dsnot_<id>_<secret>`; only the id and the SHA-256 of the secret are kept.

A plain hash is enough: the secret is 256 random bits, which nobody guesses, fast hash or slow.
"""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from service.contract import Scope
from service.database import Database
from service.errors import NotFound
from service.keys import repository
from service.keys.tables import ApiKey

_PREFIX: Final = "dsnot"
_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_KEY: Final = re.compile(r"dsnot_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


def create_key(
    database: Database, *, tenant: str, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key. The plaintext, second of the pair, is shown once and cannot be had again.

    Raises:
        ValueError: no scope, no tenant, or `expires_at` without a time zone.
    """
    wanted = sorted(set(scopes))
    if not wanted or not tenant:
        raise ValueError("a key needs a tenant and at least one scope")
    if expires_at is not None and expires_at.tzinfo is None:
        raise ValueError("expires_at needs a time zone")
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    key = ApiKey(id=key_id, secret_sha256=_hash(secret), tenant=tenant, name=name, scopes=wanted, expires_at=expires_at)
    with database.begin() as session:
        repository.add(session, key)
    return key, f"{_PREFIX}_{key_id}_{secret}"


def revoke_key(database: Database, key_id: str) -> ApiKey:
    """Make a key useless from the next request on. Repeating it changes nothing.

    Raises:
        NotFound: there is no such key.
    """
    with database.begin() as session:
        key = repository.revoke(session, key_id)
    if key is None:
        raise NotFound(f"there is no key {key_id}")
    return key


def list_keys(database: Database, tenant: str) -> list[ApiKey]:
    """The tenant's keys, newest first."""
    with database.begin() as session:
        return list(repository.of_tenant(session, tenant))


def find_key(database: Database, plaintext: str) -> ApiKey | None:
    """The key that this is the plaintext of, if it still works. An unknown id takes as long as a wrong secret."""
    found = _KEY.fullmatch(plaintext)
    if found is None:
        return None
    key_id, secret = found.groups()
    with database.begin() as session:
        key = repository.valid(session, key_id)
    stored = key.secret_sha256 if key else bytes(32)
    return key if hmac.compare_digest(stored, _hash(secret)) else None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
