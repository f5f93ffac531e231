"""Calls for triggers: `client.triggers`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic

from service.client.answers import Answer
from service.client.asking import asking, listing
from service.client.call import Call, Page, Repeat, as_one, as_page, nothing, path_to, said
from service.client.methods import Calls, Driver, Iteration, Method


class Trigger(Answer):
    """A job template that events fill in and start."""

    id: str
    name: str
    description: str = ""
    template: dict[str, Any]
    filter: str | None = None
    source: str
    enabled: bool
    secret: str | None = None
    """Only in the response that created it."""
    created_at: datetime


class Firing(Answer):
    """An event that reached a trigger, and its outcome."""

    id: str
    outcome: str
    kind: str
    event_id: str
    job_id: str | None = None
    problem: dict[str, Any] | None = None
    created_at: datetime


class FiringDetail(Firing):
    """A firing with its event, as placeholders see it."""

    event: dict[str, Any] | None = None


def create(name: str, template: Mapping[str, Any], **more: Any) -> Call[Trigger]:
    """Create a trigger; `more`: filter, source, description, enabled. Its `secret` is returned only once."""
    body = {"name": name, "template": dict(template)} | said(**more)
    return Call("POST", path_to("triggers"), as_one(Trigger.model_validate), body=body, repeat=Repeat.UNDONE)


def list_all() -> Call[Page[Trigger]]:
    """List the triggers, newest first; pages are fetched as needed."""
    return Call("GET", path_to("triggers"), as_page(Trigger.model_validate))


def get(trigger_id: str) -> Call[Trigger]:
    """Return one trigger."""
    return Call("GET", path_to("triggers", trigger_id), as_one(Trigger.model_validate))


def change(trigger_id: str, **changes: Any) -> Call[Trigger]:
    """Change name, template, filter, source, description, or `enabled`; `filter=None` removes the filter."""
    return Call("PATCH", path_to("triggers", trigger_id), as_one(Trigger.model_validate), body=changes)


def delete(trigger_id: str) -> Call[None]:
    """Delete the trigger and its firings. Its jobs stay."""
    return Call("DELETE", path_to("triggers", trigger_id), nothing, repeat=Repeat.UNDONE)


def rotate_secret(trigger_id: str, *, overlap_seconds: int = 86_400) -> Call[Trigger]:
    """Create a new secret; the old one stays valid for `overlap_seconds`."""
    body = {"overlap_seconds": overlap_seconds}
    return Call(
        "POST", path_to("triggers", trigger_id, "rotate-secret"), as_one(Trigger.model_validate), body=body, repeat=Repeat.UNDONE
    )


def fire(trigger_id: str, event: Mapping[str, Any]) -> Call[Firing]:
    """Fire the trigger with an event, a JSON object. The same event again starts nothing, so that retries are harmless."""
    return Call("POST", path_to("triggers", trigger_id, "fire"), as_one(Firing.model_validate), body=dict(event))


def plan(trigger_id: str, event: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Return what an event would do; nothing is started."""
    return Call("POST", path_to("triggers", trigger_id, "fire"), as_one(dict), query={"validate_only": "true"}, body=dict(event))


def firings(trigger_id: str, *, outcome: str | None = None) -> Call[Page[Firing]]:
    """List the firings, newest first; pages are fetched as needed."""
    return Call("GET", path_to("triggers", trigger_id, "firings"), as_page(Firing.model_validate), query=said(outcome=outcome))


def get_firing(trigger_id: str, firing_id: str) -> Call[FiringDetail]:
    """Return one firing, with its event."""
    return Call("GET", path_to("triggers", trigger_id, "firings", firing_id), as_one(FiringDetail.model_validate))


def replay(trigger_id: str, firing_id: str) -> Call[Firing]:
    """Start another job from a logged event."""
    path = path_to("triggers", trigger_id, "firings", firing_id, "replay")
    return Call("POST", path, as_one(Firing.model_validate), repeat=Repeat.UNDONE)


class TriggerCalls(Calls[Driver], Generic[Driver]):
    """Triggers and their firings."""

    create = Method(asking(create))
    list = Iteration(listing(list_all))
    get = Method(asking(get))
    change = Method(asking(change))
    delete = Method(asking(delete))
    rotate_secret = Method(asking(rotate_secret))
    fire = Method(asking(fire))
    plan = Method(asking(plan))
    firings = Iteration(listing(firings))
    get_firing = Method(asking(get_firing))
    replay = Method(asking(replay))
