"""Calls about who may do what, and who did: `client.keys`, `client.audit()`, `client.quota()`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic

from service.client.answers import Answer
from service.client.asking import asking, listing
from service.client.call import Call, Page, Repeat, as_one, as_page, path_to, said
from service.client.methods import Calls, Driver, Iteration, Method


class Key(Answer):
    """An API key."""

    id: str
    tenant: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""
    old_secret_until: datetime | None = None
    key: str | None = None
    """What to send: only where it was just made."""


class AuditEntry(Answer):
    """A request that might have changed something, and what came of it."""

    id: str
    created_at: datetime
    key_id: str | None = None
    action: str
    path: str
    created: str | None = None
    status: int | None = None
    problem: str | None = None
    request_id: str | None = None
    address: str | None = None


class Share(Answer):
    used: int
    limit: int | None = None


class Quota(Answer):
    """What the tenant may have and has."""

    queued_jobs: Share
    datasets_bytes: Share
    triggers: Share
    webhooks: Share
    artifacts_bytes: Share
    reads_per_minute: int | None = None
    writes_per_minute: int | None = None


def create(name: str, scopes: Sequence[str], *, expires_at: datetime | None = None) -> Call[Key]:
    """Make a key of the same tenant. The answer's `key` is shown once."""
    body = {"name": name, "scopes": list(scopes)} | said(expires_at=expires_at.isoformat() if expires_at else None)
    return Call("POST", path_to("keys"), as_one(Key.model_validate), body=body, repeat=Repeat.UNDONE)


def list_all() -> Call[Page[Key]]:
    """Newest first, those that no longer work included; pages are fetched as they are needed."""
    return Call("GET", path_to("keys"), as_page(Key.model_validate))


def get(key_id: str) -> Call[Key]:
    """One key."""
    return Call("GET", path_to("keys", key_id), as_one(Key.model_validate))


def rotate(key_id: str, *, overlap_seconds: int = 86_400) -> Call[Key]:
    """A new secret, in the answer's `key`; for `overlap_seconds` the old one opens, too."""
    body = {"overlap_seconds": overlap_seconds}
    return Call("POST", path_to("keys", key_id, "rotate"), as_one(Key.model_validate), body=body, repeat=Repeat.UNDONE)


def revoke(key_id: str) -> Call[Key]:
    """Make the key useless from the next request on."""
    return Call("POST", path_to("keys", key_id, "revoke"), as_one(Key.model_validate))


def audit(
    *,
    key_id: str | None = None,
    action: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> Call[Page[AuditEntry]]:
    """Who did what in the tenant's name, newest first; pages are fetched as they are needed."""
    moments = said(created_after=created_after, created_before=created_before)
    query = said(key_id=key_id, action=action) | {name: moment.isoformat() for name, moment in moments.items()}
    return Call("GET", path_to("audit"), as_page(AuditEntry.model_validate), query=query)


def quota() -> Call[Quota]:
    """The tenant's limits, and how much of them is used."""
    return Call("GET", path_to("quota"), as_one(Quota.model_validate))


class KeyCalls(Calls[Driver], Generic[Driver]):
    """API keys of the tenant; they need the scope admin."""

    create = Method(asking(create))
    list = Iteration(listing(list_all))
    get = Method(asking(get))
    rotate = Method(asking(rotate))
    revoke = Method(asking(revoke))


class AccessCalls(Calls[Driver], Generic[Driver]):
    audit = Iteration(listing(audit))
    quota = Method(asking(quota))
