# generated from aio/ by `make client`; do not edit
"""Calls for webhooks: `client.webhooks`."""

from collections.abc import Sequence
from typing import Any

from service.client.blocking.http import Calls, Listing
from service.client.patience import Repeat
from service.client.request import drop_none, list_of, path_to
from service.client.webhooks import Delivery, DeliveryDetail, Webhook


class WebhookCalls(Calls):
    """Webhooks and their deliveries."""

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] = (),
        description: str = "",
        format: str | None = None,  # noqa: A002
    ) -> Webhook:
        """Create a webhook, by default for the ends of jobs. Its `secret` is returned only once.

        Args:
            format: `slack` for texts that Slack and compatible chat services accept; by default CloudEvents.
        """
        body: dict[str, Any] = {"url": url, "description": description}
        body |= drop_none(events=list(events) or None, format=format)
        return self._http.fetch(Webhook.model_validate, "POST", path_to("webhooks"), body=body, repeat=Repeat.UNDONE)

    def list(self) -> list[Webhook]:
        """List the tenant's webhooks, oldest first."""
        return self._http.fetch(list_of(Webhook.model_validate), "GET", path_to("webhooks"))

    def get(self, webhook_id: str) -> Webhook:
        """Return one webhook."""
        return self._http.fetch(Webhook.model_validate, "GET", path_to("webhooks", webhook_id))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change URL, events, description, or `enabled`; None leaves a field unchanged."""
        body = drop_none(url=url, events=events and list(events), description=description, enabled=enabled)
        return self._http.fetch(Webhook.model_validate, "PATCH", path_to("webhooks", webhook_id), body=body)

    def delete(self, webhook_id: str) -> None:
        """Delete the webhook and its deliveries."""
        self._http.send("DELETE", path_to("webhooks", webhook_id), repeat=Repeat.UNDONE)

    def rotate_secret(self, webhook_id: str, *, overlap_seconds: int = 86_400) -> Webhook:
        """Create a new secret; for `overlap_seconds` messages are also signed with the old one."""
        path, body = path_to("webhooks", webhook_id, "rotate-secret"), {"overlap_seconds": overlap_seconds}
        return self._http.fetch(Webhook.model_validate, "POST", path, body=body, repeat=Repeat.UNDONE)

    def test(self, webhook_id: str) -> Delivery:
        """Send a message of the type `webhook.test`."""
        return self._http.fetch(Delivery.model_validate, "POST", path_to("webhooks", webhook_id, "test"), repeat=Repeat.UNDONE)

    def deliveries(
        self,
        webhook_id: str,
        *,
        state: str | None = None,
        type: str | None = None,  # noqa: A002
    ) -> Listing[Delivery]:
        """List the deliveries, newest first; pages are fetched as needed. `type`: the message's, such as `job.failed`."""
        query = drop_none(state=state, type=type)
        return self._http.items(Delivery.model_validate, path_to("webhooks", webhook_id, "deliveries"), query)

    def get_delivery(self, webhook_id: str, delivery_id: str) -> DeliveryDetail:
        """Return one delivery, with its message."""
        path = path_to("webhooks", webhook_id, "deliveries", delivery_id)
        return self._http.fetch(DeliveryDetail.model_validate, "GET", path)

    def replay(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a message again, under its original id."""
        path = path_to("webhooks", webhook_id, "deliveries", delivery_id, "replay")
        return self._http.fetch(Delivery.model_validate, "POST", path, repeat=Repeat.UNDONE)
