"""SQL of API keys."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from service.keys.tables import ApiKey


def add(session: Session, key: ApiKey) -> None:
    session.add(key)
    session.flush()
    session.refresh(key)


def valid(session: Session, key_id: str) -> ApiKey | None:
    """The key, unless it is revoked or has expired by the database's clock."""
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
    return session.scalars(select(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None), unexpired)).one_or_none()


def revoke(session: Session, key_id: str) -> ApiKey | None:
    """The key, revoked now or already before; None if there is no such key."""
    revoked = update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=func.coalesce(ApiKey.revoked_at, func.now()))
    return session.scalars(revoked.returning(ApiKey)).one_or_none()


def of_tenant(session: Session, tenant: str) -> Sequence[ApiKey]:
    """The tenant's keys, newest first, those that no longer work included."""
    return session.scalars(select(ApiKey).where(ApiKey.tenant == tenant).order_by(ApiKey.created_at.desc(), ApiKey.id)).all()
