"""The page of API keys, for those who may administer: who is let in, to what, until when; and what the tenant may have."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from service.api.quota_usage import limits_and_use
from service.contract import Scope
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

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50
_SOON: Final = timedelta(days=7)

SCOPES: Final = {
    Scope.JOBS_READ: "look at jobs and what was measured of them, at models, data sets, workers, webhooks and triggers",
    Scope.JOBS_WRITE: "make, pause, cancel, retry and delete jobs; bring and remove data sets, webhooks and triggers",
    Scope.ARTIFACTS_READ: "download what jobs have made",
    Scope.ADMIN: "all of these, and make and revoke keys and read the audit log",
}
"""What each lets its holder do, for people."""
assert list(SCOPES) == list(Scope)


class KeyState(StrEnum):
    ACTIVE = "active"
    EXPIRING = "expiring soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Row:
    """A key and what is told of it at a moment."""

    key: ApiKey
    now: datetime

    @property
    def state(self) -> KeyState:
        if self.key.revoked_at is not None:
            return KeyState.REVOKED
        if self.key.expires_at is None or self.key.expires_at > self.now + _SOON:
            return KeyState.ACTIVE
        return KeyState.EXPIRING if self.key.expires_at > self.now else KeyState.EXPIRED

    @property
    def works(self) -> bool:
        return self.state in (KeyState.ACTIVE, KeyState.EXPIRING)

    @property
    def old_secret_opens(self) -> bool:
        return self.works and self.key.old_secret_until is not None and self.key.old_secret_until > self.now


@router.get("/keys")
def show_keys(
    request: Request,
    reader: Administrator,
    settings: TheSettings,
    database: TheDatabase,
    only: Annotated[KeyId | None, Query(alias="id")] = None,
    cursor: Annotated[str | None, Query(max_length=256)] = None,
) -> Response:
    found, now = _found(database, only, cursor, tenant=reader.tenant), operations.now(database)
    limits, use = limits_and_use(database, settings, tenant=reader.tenant)
    return page(
        request,
        "keys.html",
        rows=[Row(key, now) for key in found.items],
        next_cursor=found.next_cursor,
        cursor=cursor,
        only=only,
        scopes=SCOPES,
        quota=QuotaView.of(limits, use, max_artifacts_bytes=settings.max_artifact_bytes),
    )


def _found(database: Database, only: str | None, cursor: str | None, *, tenant: str) -> Page[ApiKey]:
    """Raises KeyNotFound; InvalidInput for a cursor that is none."""
    if only is not None:
        return Page([keys.get_key(database, only, tenant=tenant)], None)
    return keys.list_newest(database, tenant=tenant, cursor=cursor or None, limit=_PAGE)
