"""Plain JSON events. The id is the `Idempotency-Key`, the `webhook-id`, a string field `id`, or the SHA-256 of the content."""

import hashlib
import json
from typing import Any

from service.contract.triggers import EventKind
from service.triggers.events.event import Event, Message, wrong


def read(message: Message) -> Event:
    """Return the event of a JSON object. Raise InvalidInput."""
    content = message.content
    if not isinstance(content, dict):
        raise wrong("", "must be a JSON object")
    own = content.get("id")
    event_id = message.key or message.headers.get("webhook-id") or (own if isinstance(own, str) else "")
    return Event(kind=EventKind.JSON, id=event_id or digest(content), data=content)


def digest(content: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of key order and white space."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
