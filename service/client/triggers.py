"""Calls about triggers: `client.triggers`."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from service.client.answers import Answer
from service.client.transport import Transport, pages


class Trigger(Answer):
    """A job that is described beforehand and started by events."""

    id: str
    name: str
    description: str = ""
    template: dict[str, Any]
    filter: str | None = None
    source: str
    enabled: bool
    secret: str | None = None
    """Only where it was just made."""
    created_at: datetime


class Firing(Answer):
    """An event that came, and what came of it."""

    id: str
    outcome: str
    kind: str
    event_id: str
    job_id: str | None = None
    problem: dict[str, Any] | None = None
    created_at: datetime


class TriggerCalls:
    """What is started by which events."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, template: Mapping[str, Any], **more: Any) -> Trigger:
        """Describe a job; `more`: filter, source, description, enabled. The answer's `secret` is shown once."""
        body = {"name": name, "template": dict(template)} | {key: value for key, value in more.items() if value is not None}
        return Trigger.model_validate(self._transport.write("/v1/triggers", body))

    def list(self) -> Iterator[Trigger]:
        """Newest first; pages are fetched as they are needed."""
        return map(Trigger.model_validate, pages(self._transport, "/v1/triggers"))

    def delete(self, trigger_id: str) -> None:
        self._transport.delete(_path(trigger_id))

    def rotate_secret(self, trigger_id: str, *, overlap_seconds: int = 86_400) -> Trigger:
        """A new secret; for `overlap_seconds` the old one holds, too."""
        body = {"overlap_seconds": overlap_seconds}
        return Trigger.model_validate(self._transport.write(f"{_path(trigger_id)}/rotate-secret", body))

    def fire(self, trigger_id: str, event: Mapping[str, Any]) -> Firing:
        """Bring an event, a JSON object. The same event again starts nothing, so that lost answers do no harm."""
        return Firing.model_validate(self._transport.write_once(f"{_path(trigger_id)}/fire", dict(event)))

    def plan(self, trigger_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """What an event would do; nothing is started."""
        return dict(self._transport.write_once(f"{_path(trigger_id)}/fire?validate_only=true", dict(event)))

    def firings(self, trigger_id: str, *, outcome: str | None = None) -> Iterator[Firing]:
        """Newest first; pages are fetched as they are needed."""
        wanted = {"outcome": outcome} if outcome else {}
        return map(Firing.model_validate, pages(self._transport, f"{_path(trigger_id)}/firings", wanted))

    def replay(self, trigger_id: str, firing_id: str) -> Firing:
        """Start one more job of a logged event."""
        path = f"{_path(trigger_id)}/firings/{quote(firing_id, safe='')}/replay"
        return Firing.model_validate(self._transport.write(path))


def _path(trigger_id: str) -> str:
    return f"/v1/triggers/{quote(trigger_id, safe='')}"
