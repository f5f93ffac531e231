"""Operations on webhooks and triggers alike; `kind` is the class, `Webhook` or `Trigger`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from service.database.engine import Database, Session, save
from service.database.tables.hooks import Hook
from service.database.tables.triggers import Trigger
from service.database.tables.webhooks import Webhook
from service.errors import Conflict, NotFound, Unavailable
from service.hooks import repository
from service.hooks.signing import secret_of
from service.settings import Settings

H = TypeVar("H", bound=Hook)


class HookNotFound(NotFound):
    """Webhook or trigger that does not exist or belongs to another tenant."""

    def __init__(self, kind: type[Hook], hook_id: UUID) -> None:
        super().__init__(f"there is no {kind.noun} {hook_id}")


def add(session: Session, hook: H, *, most: int) -> H:
    """Insert a hook and return it with its defaults. Raise Conflict if the tenant has `most` already."""
    if repository.count(session, type(hook), hook.tenant) >= most:
        raise Conflict(f"the limit of {most} {hook.noun}s is reached; delete one")
    return save(session, hook)


def get(database: Database, kind: type[H], hook_id: UUID, *, tenant: str) -> H:
    """Return a hook. Raise HookNotFound."""
    with held(database, kind, hook_id, tenant) as (_, hook):
        return hook


def delete(database: Database, kind: type[Hook], hook_id: UUID, *, tenant: str) -> None:
    """Delete a hook and its log. Raise HookNotFound."""
    with held(database, kind, hook_id, tenant, lock=True) as (session, hook):
        session.delete(hook)


def rotate(
    database: Database, settings: Settings, kind: type[H], hook_id: UUID, *, overlap_seconds: float, tenant: str
) -> tuple[H, str]:
    """Rotate the secret; the old one stays valid for a while. Raise HookNotFound, Unavailable."""
    master = master_secret(settings)
    with held(database, kind, hook_id, tenant, lock=True) as (session, hook):
        repository.rotate(session, hook, overlap_seconds=overlap_seconds)
        return hook, secret_of(master, hook.noun, hook.id, hook.secret_number)


@contextmanager
def held(database: Database, kind: type[H], hook_id: UUID, tenant: str, *, lock: bool = False) -> Iterator[tuple[Session, H]]:
    """Yield a transaction and the hook, locked against deletion; with `lock`, against any change. Raise HookNotFound."""
    with database.begin() as session:
        hook = repository.get(session, kind, hook_id, tenant=tenant, lock=lock)
        if hook is None:
            raise HookNotFound(kind, hook_id)
        yield session, hook


def check_enabled(hook: Webhook | Trigger) -> None:
    """Raise Conflict if the hook is disabled."""
    if not hook.enabled:
        raise Conflict(f"the {hook.noun} is disabled; enable it first")


def master_secret(settings: Settings) -> str:
    """Return the service's master secret, from which secrets are derived. Raise Unavailable without one."""
    if settings.secret_key is None:
        raise Unavailable("the service has no DSNOT_SECRET_KEY for secrets; ask the operator to set it", retry_after=300)
    return settings.secret_key.get_secret_value()
