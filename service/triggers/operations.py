"""Operations on triggers, besides those in `service.hooks.operations`. `service.triggers.firing` processes events."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from service.contract.triggers import FiringOutcome, Started
from service.database.engine import Database
from service.database.tables.triggers import Firing, Trigger
from service.errors import InvalidInput, NotFound
from service.hooks import operations as hooks
from service.hooks.repository import valid_secret_numbers
from service.hooks.signing import secret_of
from service.kit.pagination import Cursor, Page, page_of
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from service.triggers import expressions, proofs, repository, templates
from service.triggers.repository import Standing
from service.triggers.schemas import NewTrigger, TriggerChange


def create(database: Database, settings: Settings, wanted: NewTrigger, *, tenant: str) -> tuple[Trigger, str | None]:
    """Create a trigger and return it with its secret, which is shown once; None without a master secret.

    Raises:
        InvalidInput: the template cannot form a valid job or sweep, or an expression is malformed.
        Conflict: the quota of triggers is reached.
    """
    trigger_id = uuid4()
    templates.check(wanted.template, trigger_id, wanted.starts)
    _check_filter(wanted.filter)
    made = Trigger(id=trigger_id, tenant=tenant, **wanted.model_dump())
    with database.begin() as session:
        hooks.add(session, made, most=quotas.limits_in(session, settings, tenant).max_triggers)
    master = settings.secret_key
    return made, secret_of(master.get_secret_value(), made.noun, made.id, made.secret_number) if master else None


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


def change(database: Database, trigger_id: UUID, wanted: TriggerChange, *, tenant: str) -> Trigger:
    """Change a trigger. Raise HookNotFound, InvalidInput."""
    _check_filter(wanted.filter)
    may_be_null = {"filter"}
    given = {
        name: value for name, value in wanted.model_dump(exclude_unset=True).items() if value is not None or name in may_be_null
    }
    with hooks.held(database, Trigger, trigger_id, tenant, lock=True) as (_, trigger):
        for name, value in given.items():
            setattr(trigger, name, value)
        if given.keys() & {"template", "starts"}:
            templates.check(trigger.template, trigger_id, started_by(trigger))
        return trigger


def started_by(trigger: Trigger) -> Started:
    """Return what the trigger starts."""
    return "sweep" if trigger.starts == "sweep" else "job"


def proven_sender(
    database: Database, settings: Settings, trigger_id: UUID, headers: Mapping[str, str], body: bytes
) -> tuple[str, Mapping[str, str]] | None:
    """Return the trigger's tenant and the headers that the proof covers if a sender without an API key proves to have the secret.

    An unknown trigger takes as long as a wrong secret, to prevent timing attacks.
    """
    if settings.secret_key is None:
        return None
    with database.begin() as session:
        trigger = repository.find(session, trigger_id)
        numbers = valid_secret_numbers(session, trigger) if trigger else [1]
    master = settings.secret_key.get_secret_value()
    covered = proofs.covered(headers, body, [secret_of(master, Trigger.noun, trigger_id, number) for number in numbers])
    return (trigger.tenant, covered) if trigger and covered is not None else None


def log(
    database: Database, trigger_id: UUID, *, outcome: FiringOutcome | None, cursor: str | None, limit: int, tenant: str
) -> Page[Firing]:
    """Return a page of firings, newest first. Raise HookNotFound; InvalidInput for an invalid cursor."""
    before = Cursor.decode(cursor) if cursor else None
    with hooks.held(database, Trigger, trigger_id, tenant) as (session, _):
        found = repository.firings(session, trigger_id, outcome=outcome, before=before, limit=limit + 1)
    return page_of(found, limit)


def get_firing(database: Database, trigger_id: UUID, firing_id: UUID, *, tenant: str) -> Firing:
    """Return one firing. Raise NotFound."""
    with hooks.held(database, Trigger, trigger_id, tenant) as (session, _):
        found = repository.firing(session, trigger_id, firing_id)
    if found is None:
        raise NotFound(f"the trigger has no firing {firing_id}")
    return found


def _check_filter(text: str | None) -> None:
    try:
        if text is not None:
            expressions.parse(text)
    except expressions.BadExpression as error:
        errors: list[dict[str, Any]] = [{"pointer": "/filter", "detail": str(error)}]
        raise InvalidInput(f"/filter: {error}", errors=errors) from None
