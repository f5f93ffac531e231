"""Routes of webhooks and their deliveries."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response

from service.contract.webhooks import DeliveryState, WebhookEvent
from service.database.tables.webhooks import Webhook
from service.errors import Conflict, NotFound
from service.hooks import operations as hooks
from service.hooks.schemas import Rotation
from service.web.authentication import JobReader, JobReaderAndWriter, JobWriter
from service.web.dependencies import TheDatabase, TheSettings
from service.web.headers import LOCATION
from service.web.problem_responses import problem_responses
from service.web.query_parameters import PageCursor, PageLimit
from service.web.request_body import BODY_PROBLEMS
from service.webhooks import operations
from service.webhooks.schemas import (
    DeliveryDetail,
    DeliveryPage,
    DeliveryView,
    NewWebhook,
    WebhookChange,
    WebhookPage,
    WebhookView,
    WebhookWithSecret,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_Type = WebhookEvent | Literal["webhook.test"]


@router.post(
    "",
    status_code=201,
    response_model=WebhookWithSecret,
    responses={201: {"headers": LOCATION}, **problem_responses(Conflict, *BODY_PROBLEMS)},
)
def create_webhook(
    wanted: NewWebhook, caller: JobReaderAndWriter, settings: TheSettings, database: TheDatabase, response: Response
) -> WebhookWithSecret:
    """Create a webhook subscription. Messages are CloudEvents, or texts for chat services, signed as in Standard Webhooks.

    They show jobs, so the key needs the scope `jobs:read` as well.
    """
    webhook, secret = operations.create(database, settings, wanted, tenant=caller.tenant)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = f"/v1/webhooks/{webhook.id}"
    return WebhookWithSecret.with_secret(webhook, secret)


@router.get("", response_model=WebhookPage)
def list_webhooks(caller: JobReader, database: TheDatabase) -> WebhookPage:
    """List the tenant's webhooks."""
    return WebhookPage(items=[WebhookView.model_validate(each) for each in operations.list_all(database, tenant=caller.tenant)])


@router.get("/{webhook_id}", response_model=WebhookView, responses=problem_responses(NotFound))
def get_webhook(webhook_id: UUID, caller: JobReader, database: TheDatabase) -> WebhookView:
    """Return one webhook."""
    return WebhookView.model_validate(hooks.get(database, Webhook, webhook_id, tenant=caller.tenant))


@router.patch("/{webhook_id}", response_model=WebhookView, responses=problem_responses(NotFound, *BODY_PROBLEMS))
def change_webhook(
    webhook_id: UUID, wanted: WebhookChange, caller: JobReaderAndWriter, settings: TheSettings, database: TheDatabase
) -> WebhookView:
    """Change URL or events of a webhook, or disable it. Disabling discards pending messages."""
    return WebhookView.model_validate(operations.change(database, settings, webhook_id, wanted, tenant=caller.tenant))


@router.delete("/{webhook_id}", status_code=204, responses=problem_responses(NotFound))
def delete_webhook(webhook_id: UUID, caller: JobWriter, database: TheDatabase) -> None:
    """Delete a webhook and its delivery log."""
    hooks.delete(database, Webhook, webhook_id, tenant=caller.tenant)


@router.post(
    "/{webhook_id}/rotate-secret", response_model=WebhookWithSecret, responses=problem_responses(NotFound, *BODY_PROBLEMS)
)
def rotate_secret(
    webhook_id: UUID,
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    response: Response,
    wanted: Annotated[Rotation | None, Body()] = None,
) -> WebhookWithSecret:
    """Rotate the webhook's secret. Messages are also signed with the old one for a while, so that the receiver can switch."""
    response.headers["Cache-Control"] = "no-store"
    overlap = (wanted or Rotation()).overlap_seconds
    rotated = hooks.rotate(database, settings, Webhook, webhook_id, overlap_seconds=overlap, tenant=caller.tenant)
    return WebhookWithSecret.with_secret(*rotated)


@router.post("/{webhook_id}/test", status_code=202, response_model=DeliveryView, responses=problem_responses(NotFound, Conflict))
def test_webhook(webhook_id: UUID, caller: JobWriter, database: TheDatabase) -> DeliveryView:
    """Send a message of type `webhook.test`. The delivery log shows its outcome."""
    return DeliveryView.of(operations.test(database, webhook_id, tenant=caller.tenant))


@router.get("/{webhook_id}/deliveries", response_model=DeliveryPage, responses=problem_responses(NotFound))
def list_deliveries(
    webhook_id: UUID,
    caller: JobReader,
    database: TheDatabase,
    state: Annotated[DeliveryState | None, Query()] = None,
    type: Annotated[_Type | None, Query()] = None,  # noqa: A002
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> DeliveryPage:
    """List the webhook's deliveries, newest first, with every attempt."""
    found = operations.log(database, webhook_id, state=state, kind=type, cursor=cursor, limit=limit, tenant=caller.tenant)
    items = [DeliveryView.of(each, found.attempts) for each in found.deliveries]
    return DeliveryPage(items=items, next_cursor=found.next_cursor)


@router.get("/{webhook_id}/deliveries/{delivery_id}", response_model=DeliveryDetail, responses=problem_responses(NotFound))
def get_delivery(webhook_id: UUID, delivery_id: UUID, caller: JobReader, database: TheDatabase) -> DeliveryDetail:
    """Return one delivery, with its message."""
    found = operations.get_delivery(database, webhook_id, delivery_id, tenant=caller.tenant)
    return DeliveryDetail.of_delivery(found.deliveries[0], found.attempts)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=DeliveryView,
    responses=problem_responses(NotFound, Conflict),
)
def replay_delivery(webhook_id: UUID, delivery_id: UUID, caller: JobWriter, database: TheDatabase) -> DeliveryView:
    """Send a message again with the same id, whether it was delivered or not."""
    found = operations.replay(database, webhook_id, delivery_id, tenant=caller.tenant)
    return DeliveryView.of(found.deliveries[0], found.attempts)
