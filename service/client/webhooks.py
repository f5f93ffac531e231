"""Calls for webhooks: `client.webhooks`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic

from service.client.answers import Answer
from service.client.asking import asking, listing
from service.client.call import Call, Page, Repeat, as_list, as_one, as_page, nothing, path_to, said
from service.client.methods import Calls, Driver, Iteration, Method


class Webhook(Answer):
    """A URL that receives events of jobs."""

    id: str
    url: str
    events: list[str]
    description: str = ""
    enabled: bool
    disabled_because: str | None = None
    secret: str | None = None
    """Only in the response that created it."""
    created_at: datetime


class DeliveryAttempt(Answer):
    """One attempt at sending a message."""

    number: int
    ended_at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None


class Delivery(Answer):
    """A message and its delivery attempts."""

    id: str
    type: str
    job_id: str | None = None
    state: str
    created_at: datetime
    next_attempt_at: datetime | None = None
    attempts: list[DeliveryAttempt]


class DeliveryDetail(Delivery):
    """A delivery with its exact message; None until it is first sent."""

    body: str | None = None


def create(url: str, *, events: Sequence[str] = (), description: str = "") -> Call[Webhook]:
    """Create a webhook, by default for the ends of jobs. Its `secret` is returned only once."""
    body: dict[str, Any] = {"url": url, "description": description} | ({"events": list(events)} if events else {})
    return Call("POST", path_to("webhooks"), as_one(Webhook.model_validate), body=body, repeat=Repeat.UNDONE)


def list_all() -> Call[list[Webhook]]:
    """List the tenant's webhooks, oldest first."""
    return Call("GET", path_to("webhooks"), as_list(Webhook.model_validate))


def get(webhook_id: str) -> Call[Webhook]:
    """Return one webhook."""
    return Call("GET", path_to("webhooks", webhook_id), as_one(Webhook.model_validate))


def change(
    webhook_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> Call[Webhook]:
    """Change URL, events, description, or `enabled`; None leaves a field unchanged."""
    body = said(url=url, events=events and list(events), description=description, enabled=enabled)
    return Call("PATCH", path_to("webhooks", webhook_id), as_one(Webhook.model_validate), body=body)


def delete(webhook_id: str) -> Call[None]:
    """Delete the webhook and its deliveries."""
    return Call("DELETE", path_to("webhooks", webhook_id), nothing, repeat=Repeat.UNDONE)


def rotate_secret(webhook_id: str, *, overlap_seconds: int = 86_400) -> Call[Webhook]:
    """Create a new secret; for `overlap_seconds` messages are also signed with the old one."""
    body = {"overlap_seconds": overlap_seconds}
    return Call(
        "POST", path_to("webhooks", webhook_id, "rotate-secret"), as_one(Webhook.model_validate), body=body, repeat=Repeat.UNDONE
    )


def test(webhook_id: str) -> Call[Delivery]:
    """Send a message of the type `webhook.test`."""
    return Call("POST", path_to("webhooks", webhook_id, "test"), as_one(Delivery.model_validate), repeat=Repeat.UNDONE)


def deliveries(webhook_id: str, *, state: str | None = None, type: str | None = None) -> Call[Page[Delivery]]:  # noqa: A002
    """List the deliveries, newest first; pages are fetched as needed. `type`: the message's, such as `job.failed`."""
    query = said(state=state, type=type)
    return Call("GET", path_to("webhooks", webhook_id, "deliveries"), as_page(Delivery.model_validate), query=query)


def get_delivery(webhook_id: str, delivery_id: str) -> Call[DeliveryDetail]:
    """Return one delivery, with its message."""
    return Call("GET", path_to("webhooks", webhook_id, "deliveries", delivery_id), as_one(DeliveryDetail.model_validate))


def replay(webhook_id: str, delivery_id: str) -> Call[Delivery]:
    """Send a message again, under its original id."""
    path = path_to("webhooks", webhook_id, "deliveries", delivery_id, "replay")
    return Call("POST", path, as_one(Delivery.model_validate), repeat=Repeat.UNDONE)


class WebhookCalls(Calls[Driver], Generic[Driver]):
    """Webhooks and their deliveries."""

    create = Method(asking(create))
    list = Method(asking(list_all))
    get = Method(asking(get))
    change = Method(asking(change))
    delete = Method(asking(delete))
    rotate_secret = Method(asking(rotate_secret))
    test = Method(asking(test))
    deliveries = Iteration(listing(deliveries))
    get_delivery = Method(asking(get_delivery))
    replay = Method(asking(replay))
