"""Webhooks of the Hugging Face Hub, payload version 3: https://huggingface.co/docs/hub/webhooks.

Payloads have no id. The event id is built from fields that are equal in repeated deliveries and differ between events.
"""

from typing import Any, Final

from service.contract.triggers import EventKind
from service.triggers.events.event import Event, Message, wrong
from service.triggers.events.plain import digest

_WHAT_CHANGED: Final = ("updatedRefs", "updatedConfig", "movedTo", "discussion", "comment")


def recognises(message: Message) -> bool:
    """Return whether the message is a webhook of the Hub."""
    content = message.content
    return isinstance(content, dict) and content.keys() >= {"event", "repo", "webhook"} and isinstance(content["event"], dict)


def read(message: Message) -> Event:
    """Return the event of a Hub webhook. Raise InvalidInput."""
    action, scope = message.text("event", "action"), message.text("event", "scope")
    repo_id, name = message.text("repo", "id"), message.text("repo", "name")
    content: dict[str, Any] = message.content
    head = content["repo"].get("headSha")
    if head is not None and not isinstance(head, str):
        raise wrong("/repo/headSha", "must be a string")
    return Event(
        kind=EventKind.HUGGINGFACE,
        id=" ".join([repo_id, head or "-", action, scope, *_more(content)]),
        source="huggingface",
        type=f"{scope}.{action}",
        subject=name,
        data=content,
    )


def _more(content: dict[str, Any]) -> list[str]:
    """Return a digest that distinguishes events with the same head: other branches, tags, discussions, settings."""
    changed = {name: content[name] for name in _WHAT_CHANGED if content.get(name) is not None}
    return [digest(changed)[:16]] if changed else []
