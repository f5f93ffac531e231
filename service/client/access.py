"""Calls for API keys, audit log and quota: `client.keys`, `client.audit()`, `client.quota()`."""

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
    """Accurate to the minute."""
    old_secret_until: datetime | None = None
    key: str | None = None
    """The full key; only in the response that created its secret."""


class AuditEntry(Answer):
    """A request that might have changed something, and its outcome."""

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
    """Usage of one limit; without `limit` it is unlimited."""

    used: int
    limit: int | None = None


class Quota(Answer):
    """Limits of the tenant, and their usage."""

    queued_jobs: Share
    datasets_bytes: Share
    triggers: Share
    webhooks: Share
    artifacts_bytes: Share
    reads_per_minute: int | None = None
    writes_per_minute: int | None = None


def create(name: str, scopes: Sequence[str], *, expires_at: datetime | None = None) -> Call[Key]:
    """Create a key of the same tenant. Its full `key` is returned only once."""
    body = {"name": name, "scopes": list(scopes)} | said(expires_at=expires_at.isoformat() if expires_at else None)
    return Call("POST", path_to("keys"), as_one(Key.model_validate), body=body, repeat=Repeat.UNDONE)


def list_all() -> Call[Page[Key]]:
    """List the keys, newest first, including invalid ones; pages are fetched as needed."""
    return Call("GET", path_to("keys"), as_page(Key.model_validate))


def get(key_id: str) -> Call[Key]:
    """Return one key."""
    return Call("GET", path_to("keys", key_id), as_one(Key.model_validate))


def rotate(key_id: str, *, overlap_seconds: int = 86_400) -> Call[Key]:
    """Create a new secret, returned in `key`; the old one stays valid for `overlap_seconds`."""
    body = {"overlap_seconds": overlap_seconds}
    return Call("POST", path_to("keys", key_id, "rotate"), as_one(Key.model_validate), body=body, repeat=Repeat.UNDONE)


def revoke(key_id: str) -> Call[Key]:
    """Revoke the key, from the next request on."""
    return Call("POST", path_to("keys", key_id, "revoke"), as_one(Key.model_validate))


def audit(
    *,
    key_id: str | None = None,
    action: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> Call[Page[AuditEntry]]:
    """List the tenant's audit log, newest first; pages are fetched as needed."""
    moments = said(created_after=created_after, created_before=created_before)
    query = said(key_id=key_id, action=action) | {name: moment.isoformat() for name, moment in moments.items()}
    return Call("GET", path_to("audit"), as_page(AuditEntry.model_validate), query=query)


def quota() -> Call[Quota]:
    """Return the tenant's limits and their usage."""
    return Call("GET", path_to("quota"), as_one(Quota.model_validate))


class KeyCalls(Calls[Driver], Generic[Driver]):
    """API keys of the tenant; they need the scope admin."""

    create = Method(asking(create))
    list = Iteration(listing(list_all))
    get = Method(asking(get))
    rotate = Method(asking(rotate))
    revoke = Method(asking(revoke))


class AccessCalls(Calls[Driver], Generic[Driver]):
    """Audit log and quota."""

    audit = Iteration(listing(audit))
    quota = Method(asking(quota))
