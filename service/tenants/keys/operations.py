"""Operations on API keys, with the errors that they raise."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from service.contract.scopes import Scope
from service.database.engine import Database, Session, save
from service.database.tables.keys import ApiKey
from service.errors import Conflict, InvalidInput, NotFound
from service.kit.pagination import Cursor, Page, page_of
from service.tenants.keys import repository, secrets
from service.tenants.keys.repository import ValidKey

_LONGEST: Final = timedelta(days=3660)
_MOST: Final = 1000
"""Maximum number of valid keys of one tenant."""


class KeyNotFound(NotFound):
    """API key that does not exist or belongs to another tenant."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id}")


def create_key(
    database: Database, *, tenant: str, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Create a key. The plaintext, second of the pair, is not stored and cannot be recovered.

    Raises:
        ValueError: no name, no scope, no tenant, or `expires_at` without a time zone.
        Conflict: the tenant has too many valid keys.
    """
    wanted = sorted(set(scopes))
    if not wanted or not tenant or not name.strip():
        raise ValueError("a key needs a name, a tenant and at least one scope")
    if expires_at is not None and expires_at.tzinfo is None:
        raise ValueError("expires_at needs a time zone")
    key_id, secret = secrets.new_id(), secrets.new_secret()
    made = ApiKey(
        id=key_id, secret_sha256=secrets.hash_of(secret), tenant=tenant, name=name, scopes=wanted, expires_at=expires_at
    )
    with database.begin() as session:
        repository.lock_tenant(session, tenant)
        if repository.count_working(session, tenant) >= _MOST:
            raise Conflict(f"the tenant has {_MOST} valid keys already; revoke one")
        return save(session, made), secrets.plaintext_of(key_id, secret)


def check_end(expires_at: datetime | None) -> None:
    """Raise InvalidInput if the expiry is in the past or too far ahead."""
    now = datetime.now(UTC)
    if expires_at is not None and not now < expires_at < now + _LONGEST:
        detail = "must be in the future, and at most ten years ahead; omit it for a key that is valid until it is revoked"
        raise InvalidInput(f"/expires_at: {detail}", errors=[{"pointer": "/expires_at", "detail": detail}])


def revoke_key(database: Database, key_id: str, *, tenant: str | None = None) -> ApiKey:
    """Revoke a key, effective from the next request. Idempotent.

    Args:
        tenant: the caller's tenant; None for the operator, who may also revoke the last admin key.

    Raises:
        KeyNotFound
        Conflict: it is the tenant's last valid key with the scope admin.
    """
    with database.begin() as session:
        if tenant is not None:
            repository.lock_tenant(session, tenant)
        key = _held(session, key_id, tenant)
        if tenant is not None and repository.is_last_admin(session, key):
            raise Conflict("this is the last valid key with the scope admin; create another one first")
        repository.revoke(session, key)
    return key


def rotate_key(database: Database, key_id: str, *, overlap_seconds: float, tenant: str | None = None) -> tuple[ApiKey, str]:
    """Replace the secret of a key; the old secret stays valid for `overlap_seconds`. Return the key and its new plaintext.

    Raises:
        KeyNotFound
        Conflict: the key is revoked or expired.
    """
    secret = secrets.new_secret()
    with database.begin() as session:
        key = _held(session, key_id, tenant)
        if not repository.works(session, key):
            raise Conflict("the key is revoked or has expired; create a new one")
        repository.rotate(session, key, secrets.hash_of(secret), overlap_seconds=overlap_seconds)
    return key, secrets.plaintext_of(key_id, secret)


def get_key(database: Database, key_id: str, *, tenant: str) -> ApiKey:
    """Return one of the tenant's keys. Raises KeyNotFound."""
    with database.begin() as session:
        key = repository.get(session, key_id, tenant=tenant)
    if key is None:
        raise KeyNotFound(key_id)
    return key


def list_keys(database: Database, tenant: str) -> list[ApiKey]:
    """Return all of the tenant's keys, newest first."""
    with database.begin() as session:
        return list(repository.newest(session, tenant, before=None, limit=None))


def list_newest(database: Database, *, tenant: str, cursor: str | None, limit: int) -> Page[ApiKey]:
    """Return one page of the tenant's keys, newest first. Raises InvalidInput: the cursor is invalid."""
    before = Cursor.decode_named(cursor) if cursor else None
    with database.begin() as session:
        found = repository.newest(session, tenant, before=before, limit=limit + 1)
    return page_of(found, limit)


def find_key(database: Database, plaintext: str) -> ApiKey | None:
    """Return the key with this plaintext, if it is valid."""
    parts = secrets.parts_of(plaintext)
    if parts is None:
        return None
    with database.begin() as session:
        found = find(session, *parts)
    return found.key if found else None


def find(session: Session, key_id: str, secret: str) -> ValidKey | None:
    """Return the key with this id and secret, if it is valid. An unknown id takes as long as a wrong secret."""
    valid = repository.valid(session, key_id)
    current = valid.key.secret_sha256 if valid else None
    old = valid.key.old_secret_sha256 if valid and valid.old_secret_opens else None
    return valid if secrets.is_one_of(secret, current, old) else None


def _held(session: Session, key_id: str, tenant: str | None) -> ApiKey:
    """Return the key, locked until the transaction ends."""
    key = repository.get(session, key_id, tenant=tenant, lock=True)
    if key is None:
        raise KeyNotFound(key_id)
    return key
