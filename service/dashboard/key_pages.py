"""Page of API keys and quotas, for administrators."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from service.api.quota_usage import limits_and_use
from service.contract.scopes import Scope
from service.dashboard import operations
from service.dashboard.access import Administrator
from service.dashboard.rendering import page
from service.database.engine import Database
from service.database.tables.keys import ApiKey
from service.kit.pagination import Page
from service.tenants.keys import operations as keys
from service.tenants.keys.schemas import KeyId
from service.tenants.quotas.schemas import QuotaView
from service.web.dependencies import TheDatabase, TheSettings
from service.web.query_parameters import PageCursor

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50
_SOON: Final = timedelta(days=7)

SCOPES: Final = {
    Scope.JOBS_READ: "view jobs, sweeps and their metrics, models, data sets, workers, webhooks and triggers",
    Scope.JOBS_WRITE: "create, pause, cancel, retry and delete jobs and sweeps; manage data sets, webhooks and triggers",
    Scope.ARTIFACTS_READ: "download artifacts",
    Scope.ADMIN: "all of these; manage keys and read the audit log",
}
"""Descriptions of the scopes."""
assert list(SCOPES) == list(Scope)


class KeyState(StrEnum):
    """State of a key as shown."""

    ACTIVE = "active"
    EXPIRING = "expiring soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class KeyRow:
    """Key and its derived state at a point in time."""

    key: ApiKey
    now: datetime

    @property
    def state(self) -> KeyState:
        """The state of the key."""
        if self.key.revoked_at is not None:
            return KeyState.REVOKED
        if self.key.expires_at is None or self.key.expires_at > self.now + _SOON:
            return KeyState.ACTIVE
        return KeyState.EXPIRING if self.key.expires_at > self.now else KeyState.EXPIRED

    @property
    def works(self) -> bool:
        """Whether the key is valid."""
        return self.state in (KeyState.ACTIVE, KeyState.EXPIRING)

    @property
    def old_secret_opens(self) -> bool:
        """Whether the previous secret is still valid."""
        return self.works and self.key.old_secret_until is not None and self.key.old_secret_until > self.now


@router.get("/keys")
def show_keys(
    request: Request,
    reader: Administrator,
    settings: TheSettings,
    database: TheDatabase,
    only: Annotated[KeyId | None, Query(alias="id")] = None,
    cursor: PageCursor = None,
) -> Response:
    """Show all keys, or one, and the quotas."""
    found, now = _found(database, only, cursor, tenant=reader.tenant), operations.now(database)
    limits, use = limits_and_use(database, settings, tenant=reader.tenant)
    return page(
        request,
        "keys.html",
        rows=[KeyRow(key, now) for key in found.items],
        next_cursor=found.next_cursor,
        cursor=cursor,
        only=only,
        scopes=SCOPES,
        quota=QuotaView.of(limits, use, max_artifacts_bytes=settings.max_artifact_bytes),
    )


def _found(database: Database, only: str | None, cursor: str | None, *, tenant: str) -> Page[ApiKey]:
    """Return a page of keys, or the one with the id `only`. Raise KeyNotFound; InvalidInput for an invalid cursor."""
    if only is not None:
        return Page([keys.get_key(database, only, tenant=tenant)], None)
    return keys.list_newest(database, tenant=tenant, cursor=cursor or None, limit=_PAGE)
