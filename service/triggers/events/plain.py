"""Any JSON object. Its id is the `Idempotency-Key`, the `webhook-id`, its own text `id`, or the SHA-256 of what it says."""

import hashlib
import json
from typing import Any

from service.contract import EventKind
from service.triggers.events.event import Event, Message, wrong


def read(message: Message) -> Event:
    """Raises InvalidInput."""
    content = message.content
    if not isinstance(content, dict):
        raise wrong("", "must be an event: a JSON object")
    own = content.get("id")
    event_id = message.key or message.headers.get("webhook-id") or (own if isinstance(own, str) else "")
    return Event(kind=EventKind.JSON, id=event_id or digest(content), data=content)


def digest(content: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its names and its white space."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
