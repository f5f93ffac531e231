"""SQL of API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, any_, bindparam, func, literal, or_, select, update
from sqlalchemy.orm import Session

from service.contract.messages import KEYS_CHANNEL
from service.contract.scopes import Scope
from service.database import keyset
from service.database.engine import delete_batch, in_seconds, save
from service.database.tables.keys import ApiKey
from service.database.tables.quotas import TenantQuota
from service.kit.pagination import Cursor

_USED_AGAIN_SECONDS: Final = 60.0


def _works() -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())


_VALID: Final = (  # built once, because every request runs it
    select(
        ApiKey,
        TenantQuota,
        func.coalesce(ApiKey.old_secret_until > func.now(), False),
        func.coalesce(ApiKey.last_used_at > in_seconds(-_USED_AGAIN_SECONDS), False),
    )
    .join(TenantQuota, TenantQuota.tenant == ApiKey.tenant, isouter=True)
    .where(ApiKey.id == bindparam("key_id"), _works())
)


@dataclass(frozen=True)
class ValidKey:
    """A key that is neither revoked nor expired, with the other data that authentication needs."""

    key: ApiKey
    quota: TenantQuota | None
    old_secret_opens: bool
    was_used_lately: bool


def valid(session: Session, key_id: str) -> ValidKey | None:
    """Return the key, unless it is revoked or has expired by the database's clock."""
    row = session.execute(_VALID, {"key_id": key_id}).one_or_none()
    return None if row is None else ValidKey(*row)


def expiring(session: Session, tenant: str, *, seconds: float) -> Sequence[ApiKey]:
    """Return the tenant's valid keys that expire within this time, the first to expire first."""
    soon = select(ApiKey).where(ApiKey.tenant == tenant, _works(), ApiKey.expires_at < in_seconds(seconds))
    return session.scalars(soon.order_by(ApiKey.expires_at, ApiKey.id)).all()


def note_use(session: Session, key_id: str) -> None:
    """Record the time of use; skip a row that another request has locked."""
    free = select(ApiKey.id).where(ApiKey.id == key_id).with_for_update(skip_locked=True)
    session.execute(update(ApiKey).where(ApiKey.id.in_(free)).values(last_used_at=func.now()))


def get(session: Session, key_id: str, *, tenant: str | None, lock: bool = False) -> ApiKey | None:
    """Return the tenant's key; with `tenant=None`, the key of any tenant."""
    statement = select(ApiKey).where(ApiKey.id == key_id)
    if tenant is not None:
        statement = statement.where(ApiKey.tenant == tenant)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def is_last_admin(session: Session, key: ApiKey) -> bool:
    """Check whether this is the tenant's only valid key with the scope admin."""
    admins = select(ApiKey.id).where(ApiKey.tenant == key.tenant, literal(Scope.ADMIN.value) == any_(ApiKey.scopes), _works())
    return list(session.scalars(admins.limit(2))) == [key.id]


def lock_tenant(session: Session, tenant: str) -> None:
    """Serialize creation and revocation of the tenant's keys, so that no transaction counts keys that another is changing."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"keys of {tenant}", 0))))


def count_working(session: Session, tenant: str) -> int:
    """Count the tenant's valid keys."""
    return session.execute(select(func.count()).select_from(ApiKey).where(ApiKey.tenant == tenant, _works())).scalar_one()


def works(session: Session, key: ApiKey) -> bool:
    """Check whether the key is neither revoked nor expired."""
    return session.execute(select(ApiKey.id).where(ApiKey.id == key.id, _works())).one_or_none() is not None


def revoke(session: Session, key: ApiKey) -> None:
    """Revoke the key; an earlier revocation keeps its time."""
    key.revoked_at = func.coalesce(ApiKey.revoked_at, func.now())
    save(session, key)
    notify(session, key.id)


def rotate(session: Session, key: ApiKey, secret_sha256: bytes, *, overlap_seconds: float) -> None:
    """Replace the secret; the old one stays valid for `overlap_seconds`."""
    key.old_secret_sha256, key.old_secret_until = key.secret_sha256, in_seconds(overlap_seconds)
    key.secret_sha256 = secret_sha256
    save(session, key)
    notify(session, key.id)


def notify(session: Session, key_id: str) -> None:
    """Notify open streams that the key, its secret or a session of it may have ended."""
    session.execute(select(func.pg_notify(KEYS_CHANNEL, key_id)))


def newest(session: Session, tenant: str, *, before: Cursor[str] | None, limit: int | None) -> Sequence[ApiKey]:
    """Return the tenant's keys, newest first, including revoked and expired ones."""
    statement = select(ApiKey).where(ApiKey.tenant == tenant)
    return keyset.newest(session, statement, ApiKey.created_at, ApiKey.id, before=before, limit=limit)


def forget(session: Session, *, keep_seconds: float) -> int:
    """Delete a batch of keys that were revoked or expired before the retention period of the audit log, which names keys.

    The table is read as a whole, because a tenant has few keys.
    """
    own = select(TenantQuota.keep_audit_seconds).where(TenantQuota.tenant == ApiKey.tenant).scalar_subquery()
    until = in_seconds(-func.nullif(func.coalesce(own, keep_seconds), 0))
    return delete_batch(session, ApiKey, func.least(ApiKey.revoked_at, ApiKey.expires_at) < until)
