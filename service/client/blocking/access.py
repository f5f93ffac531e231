# generated from aio/ by `make client`; do not edit
"""Calls for API keys, sign-in links, audit log and quota: `client.keys`, `client.audit()`, `client.quota()`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.client.access import AuditEntry, Key, Quota, SignInLink
from service.client.blocking.http import Calls, Listing
from service.client.patience import Repeat
from service.client.request import drop_none, path_to


class KeyCalls(Calls):
    """API keys of the tenant; they need the scope admin."""

    def create(self, name: str, scopes: Sequence[str], *, expires_at: datetime | None = None) -> Key:
        """Create a key of the same tenant. Its full `key` is returned only once."""
        body = {"name": name, "scopes": list(scopes)} | drop_none(expires_at=expires_at.isoformat() if expires_at else None)
        return self._http.fetch(Key.model_validate, "POST", path_to("keys"), body=body, repeat=Repeat.UNDONE)

    def list(self) -> Listing[Key]:
        """List the keys, newest first, including invalid ones; pages are fetched as needed."""
        return self._http.items(Key.model_validate, path_to("keys"))

    def get(self, key_id: str) -> Key:
        """Return one key."""
        return self._http.fetch(Key.model_validate, "GET", path_to("keys", key_id))

    def rotate(self, key_id: str, *, overlap_seconds: int = 86_400) -> Key:
        """Create a new secret, returned in `key`; the old one stays valid for `overlap_seconds`."""
        path, body = path_to("keys", key_id, "rotate"), {"overlap_seconds": overlap_seconds}
        return self._http.fetch(Key.model_validate, "POST", path, body=body, repeat=Repeat.UNDONE)

    def revoke(self, key_id: str) -> Key:
        """Revoke the key, from the next request on."""
        return self._http.fetch(Key.model_validate, "POST", path_to("keys", key_id, "revoke"))


class AccessCalls(Calls):
    """Sign-in links, audit log and quota."""

    def create_sign_in_link(self) -> SignInLink:
        """Create a link that signs one browser in to the dashboard, once, within `valid_seconds`."""

        def read(document: dict[str, Any]) -> SignInLink:
            return SignInLink.model_validate({**document, "url": self._http.url + document["path"]})

        return self._http.fetch(read, "POST", path_to("sessions", "links"))

    def audit(
        self,
        *,
        key_id: str | None = None,
        action: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[AuditEntry]:
        """List the tenant's audit log, newest first; pages are fetched as needed."""
        times = drop_none(created_after=created_after, created_before=created_before)
        query = drop_none(key_id=key_id, action=action) | {name: moment.isoformat() for name, moment in times.items()}
        return self._http.items(AuditEntry.model_validate, path_to("audit"), query)

    def quota(self) -> Quota:
        """Return the tenant's limits and their usage."""
        return self._http.fetch(Quota.model_validate, "GET", path_to("quota"))
