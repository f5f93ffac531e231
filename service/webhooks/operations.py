"""Operations on webhooks, besides those in `service.hooks.operations`."""

from dataclasses import dataclass
from uuid import UUID

from service.contract.webhooks import TEST_EVENT, DeliveryState
from service.database.engine import Database, Session, save
from service.database.tables.webhooks import SHORTENED, Delivery, DeliveryAttempt, Webhook
from service.errors import Conflict, InvalidInput, NotFound
from service.hooks import operations as hooks
from service.hooks.signing import secret_of
from service.kit.pagination import Cursor, page_of
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from service.webhooks import repository
from service.webhooks.repository import Standing
from service.webhooks.schemas import DeliveryView, NewWebhook, WebhookChange
from service.webhooks.targets import TargetRefused, check_url


@dataclass(frozen=True)
class Log:
    """Page of deliveries with all their attempts."""

    deliveries: list[Delivery]
    attempts: list[DeliveryAttempt]
    next_cursor: str | None = None


def create(database: Database, settings: Settings, wanted: NewWebhook, *, tenant: str) -> tuple[Webhook, str]:
    """Create a webhook and return it with its secret, which is shown once.

    Raises:
        InvalidInput: the URL is not a valid target.
        Conflict: the quota of webhooks is reached.
        Unavailable: the service has no master secret to derive secrets from.
    """
    master = hooks.master_secret(settings)
    url = _checked(wanted.url, settings)
    events = [str(event) for event in dict.fromkeys(wanted.events)]
    made = Webhook(tenant=tenant, url=url, format=wanted.format, description=wanted.description, events=events)
    with database.begin() as session:
        hooks.add(session, made, most=quotas.limits_in(session, settings, tenant).max_webhooks)
    return made, secret_of(master, made.noun, made.id, made.secret_number)


def list_all(database: Database, *, tenant: str) -> list[Webhook]:
    """Return the tenant's webhooks, oldest first."""
    with database.begin() as session:
        return list(repository.of_tenant(session, tenant))


def list_with_standing(database: Database, *, tenant: str) -> list[tuple[Webhook, Standing]]:
    """Return the tenant's webhooks, oldest first, each with its recent deliveries."""
    with database.begin() as session:
        found = repository.standings(session, tenant)
        return [(each, found[each.id]) for each in repository.of_tenant(session, tenant) if each.id in found]


def change(database: Database, settings: Settings, webhook_id: UUID, wanted: WebhookChange, *, tenant: str) -> Webhook:
    """Change a webhook. Raise HookNotFound, InvalidInput."""
    url = None if wanted.url is None else _checked(wanted.url, settings)
    with hooks.held(database, Webhook, webhook_id, tenant, lock=True) as (session, webhook):
        webhook.url = url or webhook.url
        webhook.description = webhook.description if wanted.description is None else wanted.description
        if wanted.events is not None:
            webhook.events = [str(event) for event in dict.fromkeys(wanted.events)]
        if wanted.enabled is False:
            repository.disable(session, webhook_id, "switched off")
        elif wanted.enabled:
            webhook.disabled_at = webhook.disabled_because = None
        return save(session, webhook)


def test(database: Database, webhook_id: UUID, *, tenant: str) -> Delivery:
    """Queue a test message. Raise HookNotFound; Conflict if the webhook is disabled."""
    with hooks.held(database, Webhook, webhook_id, tenant, lock=True) as (session, webhook):
        hooks.check_enabled(webhook)
        return save(session, Delivery(webhook_id=webhook_id, type=TEST_EVENT))


def log(
    database: Database,
    webhook_id: UUID,
    *,
    state: DeliveryState | None,
    kind: str | None = None,
    cursor: str | None,
    limit: int,
    tenant: str,
) -> Log:
    """Return a page of deliveries, newest first. Raise HookNotFound; InvalidInput for an invalid cursor."""
    before = Cursor.decode(cursor) if cursor else None
    with hooks.held(database, Webhook, webhook_id, tenant) as (session, _):
        found = repository.deliveries(session, webhook_id, state=state, kind=kind, before=before, limit=limit + 1)
        page = page_of(found, limit)
        attempts = list(repository.attempts(session, [each.id for each in page.items]))
    return Log(list(page.items), attempts, page.next_cursor)


def get_delivery(database: Database, webhook_id: UUID, delivery_id: UUID, *, tenant: str) -> Log:
    """Return one delivery with its attempts. Raise NotFound."""
    with hooks.held(database, Webhook, webhook_id, tenant) as (session, _):
        found = _delivery(session, webhook_id, delivery_id)
        return Log([found], list(repository.attempts(session, [found.id])))


def deliveries_of_job(database: Database, job_id: UUID, *, tenant: str, limit: int) -> list[tuple[Webhook, DeliveryView]]:
    """Return the job's deliveries with their webhooks, newest first."""
    with database.begin() as session:
        rows = repository.of_job(session, job_id, tenant=tenant, limit=limit)
        attempts = repository.attempts(session, [delivery.id for _, delivery in rows])
        return [(webhook, DeliveryView.of(delivery, attempts)) for webhook, delivery in rows]


def replay(database: Database, webhook_id: UUID, delivery_id: UUID, *, tenant: str) -> Log:
    """Send a message again, with the same id.

    Raises:
        NotFound: the webhook or the delivery does not exist.
        Conflict: the delivery is pending, or the webhook is disabled.
    """
    with hooks.held(database, Webhook, webhook_id, tenant, lock=True) as (session, webhook):
        _delivery(session, webhook_id, delivery_id)
        hooks.check_enabled(webhook)
        again = repository.replay(session, webhook_id, delivery_id)
        if again is None:
            raise Conflict("the delivery is still pending; wait until it has ended")
        return Log([again], list(repository.attempts(session, [again.id])))


def _delivery(session: Session, webhook_id: UUID, delivery_id: UUID) -> Delivery:
    found = repository.delivery(session, webhook_id, delivery_id)
    if found is None:
        raise NotFound(f"the webhook has no delivery {delivery_id}")
    return found


def _checked(url: str, settings: Settings) -> str:
    try:
        if SHORTENED in url:
            raise TargetRefused("is shortened as in lists; give the whole URL")
        return check_url(url, may_be_local=settings.webhooks_may_be_local)
    except TargetRefused as error:
        raise InvalidInput(f"/url: {error}", errors=[{"pointer": "/url", "detail": str(error)}]) from error
