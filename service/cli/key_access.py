"""Access to API keys for `dsnot keys`: by the API where a service is named, else in the database."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from service.cli.databases import the_database
from service.cli.output import CommandFailed

if TYPE_CHECKING:
    from service.client import Key
    from service.client.blocking.access import KeyCalls
    from service.database.engine import Database
    from service.database.tables.keys import ApiKey


def api_is_named() -> bool:
    """Return whether the operator's commands use the API: DSNOT_URL is set, or there is a login and no database or home is."""
    from service.client import login

    if os.environ.get("DSNOT_URL"):
        return True
    return not os.environ.get("DSNOT_DATABASE_URL") and login.active() is not None


TO_DATABASE: Final = "set DSNOT_DATABASE_URL, or DSNOT_HOME for the stack of a home, with DSNOT_URL unset"
"""Remedy for what the API does not do; a login does not matter then."""


@contextmanager
def key_calls(tenant: str | None) -> "Iterator[KeyCalls | StoredKeys]":
    """Open the API, or the database with the keys of a tenant, by default `default`."""
    if api_is_named():
        refuse_tenant(tenant)
        from service.client import Client

        with Client() as client:
            yield client.keys
    else:
        with the_database() as database:
            yield StoredKeys(database, tenant or "default")


def refuse_tenant(tenant: str | None) -> None:
    """Raise CommandFailed if a tenant is named, because the API is that of the key's tenant."""
    if tenant is not None:
        raise CommandFailed(f"--tenant needs the database: through the API, the tenant is that of your key; {TO_DATABASE}", 2)


class StoredKeys:
    """Keys in the database, with the calls of the API's client. Every change is in the audit log."""

    def __init__(self, database: "Database", tenant: str) -> None:
        self._database, self._tenant = database, tenant

    def create(self, name: str, scopes: Sequence[str], *, expires_at: datetime | None = None) -> "Key":
        """Create a key; its full `key` is returned only once."""
        from service.contract.scopes import Scope
        from service.tenants.keys import operations

        made, plaintext = operations.create_key(
            self._database, tenant=self._tenant, name=name, scopes=map(Scope, scopes), expires_at=expires_at
        )
        return self._changed("create_key", made, "", plaintext)

    def list(self) -> "list[Key]":
        """List the tenant's keys, newest first, including invalid ones."""
        from service.tenants.keys import operations

        return [_shown(key) for key in operations.list_keys(self._database, self._tenant)]

    def rotate(self, key_id: str, *, overlap_seconds: int) -> "Key":
        """Create a new secret, returned in `key`; the old one stays valid for `overlap_seconds`."""
        from service.tenants.keys import operations

        changed, plaintext = operations.rotate_key(self._database, key_id, overlap_seconds=overlap_seconds)
        return self._changed("rotate_key", changed, "/rotate", plaintext)

    def revoke(self, key_id: str) -> "Key":
        """Revoke the key, from the next request on."""
        from service.tenants.keys import operations

        return self._changed("revoke_key", operations.revoke_key(self._database, key_id), "/revoke")

    def _changed(self, action: str, key: "ApiKey", below: str, plaintext: str | None = None) -> "Key":
        from service.tenants.audit.operations import note_command

        note_command(self._database, tenant=key.tenant, action=action, path=f"/v1/keys/{key.id}{below}")
        return _shown(key, plaintext)


def _shown(key: "ApiKey", plaintext: str | None = None) -> "Key":
    from service.client import Key
    from service.tenants.keys.schemas import KeyView

    return Key.model_validate(KeyView.model_validate(key).model_dump(mode="json") | {"key": plaintext})
