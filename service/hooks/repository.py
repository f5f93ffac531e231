"""SQL queries for webhooks and triggers alike."""

from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.database.engine import in_seconds, save
from service.database.tables.hooks import Hook

H = TypeVar("H", bound=Hook)


def count(session: Session, kind: type[Hook], tenant: str) -> int:
    """Return the tenant's number of hooks of this kind."""
    return session.execute(select(func.count()).where(kind.tenant == tenant)).scalar_one()


def get(session: Session, kind: type[H], hook_id: UUID, *, tenant: str, lock: bool = False) -> H | None:
    """Return the tenant's hook, locked against deletion until the transaction ends; with `lock`, against any change."""
    statement = select(kind).where(kind.id == hook_id, kind.tenant == tenant)
    held = statement.with_for_update() if lock else statement.with_for_update(read=True, key_share=True)
    return session.scalars(held).one_or_none()


def rotate(session: Session, hook: Hook, *, overlap_seconds: float) -> None:
    """Increment the secret's number and keep the old secret valid for `overlap_seconds`."""
    hook.secret_number += 1
    hook.old_secret_until = in_seconds(overlap_seconds)
    save(session, hook)


def valid_secret_numbers(session: Session, hook: Hook) -> list[int]:
    """Return the numbers of the current secret and, while it is valid by the database's clock, of the previous one."""
    overlaps = hook.old_secret_until is not None and session.execute(select(func.now() < hook.old_secret_until)).scalar_one()
    return [hook.secret_number, hook.secret_number - 1] if overlaps else [hook.secret_number]
