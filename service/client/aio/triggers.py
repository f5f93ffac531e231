"""Calls for triggers: `client.triggers`."""

from collections.abc import Mapping
from typing import Any

from service.client.aio.http import AsyncCalls, AsyncListing
from service.client.patience import Repeat
from service.client.request import drop_none, path_to
from service.client.triggers import Firing, FiringDetail, Trigger


class AsyncTriggerCalls(AsyncCalls):
    """Triggers and their firings."""

    async def create(self, name: str, template: Mapping[str, Any], **more: Any) -> Trigger:
        """Create a trigger; `more`: starts, filter, source, description, enabled. Its `secret` is returned only once."""
        body = {"name": name, "template": dict(template)} | drop_none(**more)
        return await self._http.fetch(Trigger.model_validate, "POST", path_to("triggers"), body=body, repeat=Repeat.UNDONE)

    def list(self) -> AsyncListing[Trigger]:
        """List the triggers, newest first; pages are fetched as needed."""
        return self._http.items(Trigger.model_validate, path_to("triggers"))

    async def get(self, trigger_id: str) -> Trigger:
        """Return one trigger."""
        return await self._http.fetch(Trigger.model_validate, "GET", path_to("triggers", trigger_id))

    async def change(self, trigger_id: str, **changes: Any) -> Trigger:
        """Change name, starts, template, filter, source, description, or `enabled`; `filter=None` removes the filter."""
        return await self._http.fetch(Trigger.model_validate, "PATCH", path_to("triggers", trigger_id), body=changes)

    async def delete(self, trigger_id: str) -> None:
        """Delete the trigger and its firings. Its jobs stay."""
        await self._http.send("DELETE", path_to("triggers", trigger_id), repeat=Repeat.UNDONE)

    async def rotate_secret(self, trigger_id: str, *, overlap_seconds: int = 86_400) -> Trigger:
        """Create a new secret; the old one stays valid for `overlap_seconds`."""
        path, body = path_to("triggers", trigger_id, "rotate-secret"), {"overlap_seconds": overlap_seconds}
        return await self._http.fetch(Trigger.model_validate, "POST", path, body=body, repeat=Repeat.UNDONE)

    async def fire(self, trigger_id: str, event: Mapping[str, Any]) -> Firing:
        """Fire the trigger with an event, a JSON object. The same event again starts nothing, so that retries are harmless."""
        return await self._http.fetch(Firing.model_validate, "POST", path_to("triggers", trigger_id, "fire"), body=dict(event))

    async def plan(self, trigger_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an event would do; nothing is started."""
        path, query = path_to("triggers", trigger_id, "fire"), {"validate_only": "true"}
        return await self._http.fetch(dict, "POST", path, query=query, body=dict(event))

    def firings(self, trigger_id: str, *, outcome: str | None = None) -> AsyncListing[Firing]:
        """List the firings, newest first; pages are fetched as needed."""
        return self._http.items(Firing.model_validate, path_to("triggers", trigger_id, "firings"), drop_none(outcome=outcome))

    async def get_firing(self, trigger_id: str, firing_id: str) -> FiringDetail:
        """Return one firing, with its event."""
        return await self._http.fetch(FiringDetail.model_validate, "GET", path_to("triggers", trigger_id, "firings", firing_id))

    async def replay(self, trigger_id: str, firing_id: str) -> Firing:
        """Start another job or sweep from a logged event."""
        path = path_to("triggers", trigger_id, "firings", firing_id, "replay")
        return await self._http.fetch(Firing.model_validate, "POST", path, repeat=Repeat.UNDONE)
