"""Operations on triggers. Events are processed in `service.triggers.firing`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from service.contract.triggers import FiringOutcome
from service.database.engine import Database, Session
from service.database.tables.triggers import Firing, Trigger
from service.errors import Conflict, InvalidInput, NotFound, Unavailable
from service.kit.pagination import Cursor, Page, page_of
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from service.triggers import expressions, proofs, repository, templates
from service.triggers.repository import Standing
from service.triggers.schemas import NewTrigger, TriggerChange


class TriggerNotFound(NotFound):
    """Unknown trigger, or one of another tenant."""

    def __init__(self, trigger_id: object) -> None:
        super().__init__(f"there is no trigger {trigger_id}")


def create(database: Database, settings: Settings, wanted: NewTrigger, *, tenant: str) -> tuple[Trigger, str | None]:
    """Create a trigger and return it with its secret, which is shown once; None without a master secret.

    Raises:
        InvalidInput: the template cannot form a valid job, or an expression is malformed.
        Conflict: the quota of triggers is reached.
    """
    trigger_id = uuid4()
    templates.check(wanted.template, trigger_id)
    _check_filter(wanted.filter)
    with database.begin() as session:
        most = quotas.limits_in(session, settings, tenant).max_triggers
        if repository.count(session, tenant) >= most:
            raise Conflict(f"the limit of {most} triggers is reached; delete one")
        made = repository.add(session, Trigger(id=trigger_id, tenant=tenant, **wanted.model_dump()))
    return made, _secret(settings, made)


def list_newest(database: Database, *, tenant: str, cursor: str | None, limit: int) -> Page[Trigger]:
    """Return a page of triggers, newest first. Raise InvalidInput for an invalid cursor."""
    before = Cursor.decode(cursor) if cursor else None
    with database.begin() as session:
        found = repository.newest(session, tenant=tenant, before=before, limit=limit + 1)
    return page_of(found, limit)


def standings(database: Database, triggers: Sequence[Trigger]) -> dict[UUID, Standing]:
    """Return the recent activity of those triggers that still exist."""
    with database.begin() as session:
        return repository.standings(session, [trigger.id for trigger in triggers])


def get(database: Database, trigger_id: UUID, *, tenant: str) -> Trigger:
    """Return a trigger. Raise TriggerNotFound."""
    with held(database, trigger_id, tenant) as (_, trigger):
        return trigger


def change(database: Database, trigger_id: UUID, wanted: TriggerChange, *, tenant: str) -> Trigger:
    """Change a trigger. Raise TriggerNotFound, InvalidInput."""
    if wanted.template is not None:
        templates.check(wanted.template, trigger_id)
    _check_filter(wanted.filter)
    may_be_null = {"filter"}
    given = {
        name: value for name, value in wanted.model_dump(exclude_unset=True).items() if value is not None or name in may_be_null
    }
    with held(database, trigger_id, tenant, lock=True) as (_, trigger):
        for name, value in given.items():
            setattr(trigger, name, value)
        return trigger


def delete(database: Database, trigger_id: UUID, *, tenant: str) -> None:
    """Delete a trigger; its jobs are kept. Raise TriggerNotFound."""
    with held(database, trigger_id, tenant, lock=True) as (session, trigger):
        repository.remove(session, trigger)


def rotate(
    database: Database, settings: Settings, trigger_id: UUID, *, overlap_seconds: float, tenant: str
) -> tuple[Trigger, str | None]:
    """Rotate the secret; the old one stays valid for a while. Raise TriggerNotFound, Unavailable."""
    if settings.secret_key is None:
        raise Unavailable("the service has no DSNOT_SECRET_KEY for secrets; ask the operator to set it", retry_after=300)
    with held(database, trigger_id, tenant, lock=True) as (session, trigger):
        repository.rotate(session, trigger, overlap_seconds=overlap_seconds)
        return trigger, _secret(settings, trigger)


def tenant_of_sender(
    database: Database, settings: Settings, trigger_id: UUID, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Return the trigger's tenant if a sender without an API key proves knowledge of the secret; else None.

    An unknown trigger takes as long as a wrong secret, to prevent timing attacks.
    """
    if settings.secret_key is None:
        return None
    with database.begin() as session:
        trigger = repository.find(session, trigger_id)
        numbers = [trigger.secret_number if trigger else 1]
        if trigger and trigger.old_secret_until is not None and repository.old_secret_holds(session, trigger):
            numbers.append(trigger.secret_number - 1)
    master = settings.secret_key.get_secret_value()
    is_proven = proofs.holds(headers, body, [proofs.secret_of(master, trigger_id, number) for number in numbers])
    return trigger.tenant if trigger and is_proven else None


def log(
    database: Database, trigger_id: UUID, *, outcome: FiringOutcome | None, cursor: str | None, limit: int, tenant: str
) -> Page[Firing]:
    """Return a page of firings, newest first. Raise TriggerNotFound; InvalidInput for an invalid cursor."""
    before = Cursor.decode(cursor) if cursor else None
    with held(database, trigger_id, tenant) as (session, _):
        found = repository.firings(session, trigger_id, outcome=outcome, before=before, limit=limit + 1)
    return page_of(found, limit)


def get_firing(database: Database, trigger_id: UUID, firing_id: UUID, *, tenant: str) -> Firing:
    """Return one firing. Raise NotFound."""
    with held(database, trigger_id, tenant) as (session, _):
        found = repository.firing(session, trigger_id, firing_id)
    if found is None:
        raise NotFound(f"the trigger has no firing {firing_id}")
    return found


@contextmanager
def held(database: Database, trigger_id: UUID, tenant: str, *, lock: bool = False) -> Iterator[tuple[Session, Trigger]]:
    """Yield a transaction and the trigger, locked against deletion; with `lock`, against any change. Raise TriggerNotFound."""
    with database.begin() as session:
        trigger = repository.get(session, trigger_id, tenant=tenant, lock=lock)
        if trigger is None:
            raise TriggerNotFound(trigger_id)
        yield session, trigger


def _secret(settings: Settings, trigger: Trigger) -> str | None:
    if settings.secret_key is None:
        return None
    return proofs.secret_of(settings.secret_key.get_secret_value(), trigger.id, trigger.secret_number)


def _check_filter(text: str | None) -> None:
    try:
        if text is not None:
            expressions.parse(text)
    except expressions.BadExpression as error:
        errors: list[dict[str, Any]] = [{"pointer": "/filter", "detail": str(error)}]
        raise InvalidInput(f"/filter: {error}", errors=errors) from None
