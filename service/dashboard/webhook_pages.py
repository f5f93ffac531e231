"""Pages of webhooks and their delivery logs."""

import json
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from service.contract.webhooks import ENDS, TEST_EVENT, DeliveryState, WebhookEvent, WebhookFormat
from service.dashboard.access import Reader, check_may_write
from service.dashboard.rendering import page
from service.database.tables.webhooks import Webhook
from service.hooks import operations as hooks
from service.web.dependencies import TheDatabase
from service.web.query_parameters import PageCursor
from service.webhooks import operations
from service.webhooks.schemas import DeliveryDetail, DeliveryView

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50
_FORMATS: Final = {
    WebhookFormat.DSNOT: "Signed JSON, for programs",
    WebhookFormat.SLACK: "Chat message, for Slack, Mattermost, Rocket.Chat, Discord",
}


@router.get("/webhooks")
def show_webhooks(request: Request, reader: Reader, database: TheDatabase) -> Response:
    """Show the webhook list."""
    return page(request, "webhooks.html", found=operations.list_with_standing(database, tenant=reader.tenant))


@router.get("/webhooks/new")
def show_new_webhook(request: Request, reader: Reader) -> Response:
    """Show the form of a new webhook."""
    check_may_write(reader, "creating webhooks")
    return page(request, "webhook_form.html", webhook=None, chosen=list(ENDS), events=list(WebhookEvent), formats=_FORMATS)


@router.get("/webhooks/{webhook_id}/edit")
def show_webhook_form(request: Request, webhook_id: UUID, reader: Reader, database: TheDatabase) -> Response:
    """Show the form to edit a webhook."""
    check_may_write(reader, "changing webhooks")
    webhook = hooks.get(database, Webhook, webhook_id, tenant=reader.tenant)
    return page(request, "webhook_form.html", webhook=webhook, chosen=webhook.events, events=list(WebhookEvent))


@router.get("/webhooks/{webhook_id}")
def show_webhook(
    request: Request,
    webhook_id: UUID,
    reader: Reader,
    database: TheDatabase,
    state: Annotated[str, Query(max_length=64)] = "",
    type: Annotated[str, Query(max_length=64)] = "",  # noqa: A002
    cursor: PageCursor = None,
) -> Response:
    """Show a webhook and its delivery log."""
    types = [*WebhookEvent, TEST_EVENT]
    wanted = next((each for each in DeliveryState if each == state), None)
    kind = next((each for each in types if each == type), None)
    webhook = hooks.get(database, Webhook, webhook_id, tenant=reader.tenant)
    found = operations.log(
        database, webhook_id, state=wanted, kind=kind, cursor=cursor or None, limit=_PAGE, tenant=reader.tenant
    )
    return page(
        request,
        "webhook.html",
        webhook=webhook,
        formats=_FORMATS,
        deliveries=[DeliveryView.of(each, found.attempts) for each in found.deliveries],
        next_cursor=found.next_cursor,
        cursor=cursor,
        state=wanted,
        type=kind,
        states=list(DeliveryState),
        types=types,
    )


@router.get("/webhooks/{webhook_id}/deliveries/{delivery_id}")
def show_delivery(request: Request, webhook_id: UUID, delivery_id: UUID, reader: Reader, database: TheDatabase) -> Response:
    """Show one delivery with its attempts and message."""
    webhook = hooks.get(database, Webhook, webhook_id, tenant=reader.tenant)
    found = operations.get_delivery(database, webhook_id, delivery_id, tenant=reader.tenant)
    delivery = DeliveryDetail.of_delivery(found.deliveries[0], found.attempts)
    message = json.dumps(json.loads(delivery.body), indent=2, ensure_ascii=False) if delivery.body else None
    return page(request, "delivery.html", webhook=webhook, delivery=delivery, message=message)
