"""Calls about webhooks: `client.webhooks`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from service.client.answers import Answer
from service.client.transport import Transport, pages


class Webhook(Answer):
    id: str
    url: str
    events: list[str]
    description: str = ""
    enabled: bool
    disabled_because: str | None = None
    secret: str | None = None
    """Only where it was just made."""
    created_at: datetime


class DeliveryAttempt(Answer):
    number: int
    ended_at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None


class Delivery(Answer):
    """A message, and how sending it went."""

    id: str
    type: str
    job_id: str | None = None
    state: str
    created_at: datetime
    next_attempt_at: datetime | None = None
    attempts: list[DeliveryAttempt]


class WebhookCalls:
    """Who is told of what."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, *, events: Sequence[str] = (), description: str = "") -> Webhook:
        """Have an address told; of how jobs end, unless `events` says of what. The answer's `secret` is shown once."""
        body: dict[str, Any] = {"url": url, "description": description} | ({"events": list(events)} if events else {})
        return Webhook.model_validate(self._transport.write("/v1/webhooks", body))

    def list(self) -> "list[Webhook]":
        return [Webhook.model_validate(item) for item in pages(self._transport, "/v1/webhooks")]

    def delete(self, webhook_id: str) -> None:
        self._transport.delete(_path(webhook_id))

    def rotate_secret(self, webhook_id: str, *, overlap_seconds: int = 86_400) -> Webhook:
        """A new secret; for `overlap_seconds` messages are signed with the old one, too."""
        body = {"overlap_seconds": overlap_seconds}
        return Webhook.model_validate(self._transport.write(f"{_path(webhook_id)}/rotate-secret", body))

    def test(self, webhook_id: str) -> Delivery:
        """Have a message of the type `webhook.test` sent."""
        return Delivery.model_validate(self._transport.write(f"{_path(webhook_id)}/test"))

    def deliveries(self, webhook_id: str, *, state: str | None = None) -> Iterator[Delivery]:
        """Newest first; pages are fetched as they are needed."""
        wanted = {"state": state} if state else {}
        return map(Delivery.model_validate, pages(self._transport, f"{_path(webhook_id)}/deliveries", wanted))

    def replay(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Have a message sent once more, under its old id."""
        path = f"{_path(webhook_id)}/deliveries/{quote(delivery_id, safe='')}/replay"
        return Delivery.model_validate(self._transport.write(path))


def _path(webhook_id: str) -> str:
    return f"/v1/webhooks/{quote(webhook_id, safe='')}"
