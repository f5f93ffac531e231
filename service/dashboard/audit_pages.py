"""Audit log page, for administrators."""

import re
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import iter_route_contexts

from service.dashboard import operations
from service.dashboard.access import Administrator
from service.dashboard.audit_filtering import AskedEntries
from service.dashboard.exporting import audit_csv_of
from service.dashboard.rendering import page
from service.tenants.audit.repository import DRY_RUNS
from service.tenants.keys import operations as keys
from service.web.dependencies import TheDatabase
from service.web.query_parameters import PageCursor

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50
_MOST_KEYS: Final = 200
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_WITHOUT_ROUTE: Final = frozenset({"set_quota", "reset_quota", *DRY_RUNS.values()})
"""Commands of `dsnot quotas`, and dry runs."""
_OBJECT: Final = re.compile(r"/v1/([a-z]+)/([a-z0-9-]{1,64})(/.*)?")
_PAGES: Final = {"jobs": "/jobs/{}", "keys": "/keys?id={}", "webhooks": "/webhooks/{}", "triggers": "/triggers/{}"}


@router.get("/audit")
def show_audit(
    request: Request,
    reader: Administrator,
    database: TheDatabase,
    asked: AskedEntries,
    cursor: PageCursor = None,
) -> Response:
    """Show the audit log, filtered and paginated."""
    found, names = operations.entries(database, asked.wanted, tenant=reader.tenant, cursor=cursor or None, limit=_PAGE)
    return page(
        request,
        "audit.html",
        status=422 if asked.errors else 200,
        found=found,
        names=names,
        asked=asked,
        cursor=cursor,
        actions=_actions(request),
        keys=keys.list_newest(database, tenant=reader.tenant, cursor=None, limit=_MOST_KEYS).items,
        page_of=page_of,
    )


@router.get("/audit.csv")
def export_audit(reader: Administrator, database: TheDatabase, asked: AskedEntries) -> Response:
    """Export the filtered audit log as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
    lines = audit_csv_of(database, asked.wanted, tenant=reader.tenant)
    return StreamingResponse(lines, headers=headers, media_type="text/csv; charset=utf-8")


def _actions(request: Request) -> list[str]:
    """Return the names of all operations that the log may contain: routes with mutating methods, commands, dry runs."""
    routes = iter_route_contexts(request.app.routes)
    return sorted({str(route.name) for route in routes if set(route.methods or _SAFE) - _SAFE} | _WITHOUT_ROUTE)


def page_of(address: str) -> str | None:
    """Return the dashboard page of the object at an API path; None if it has none."""
    found = _OBJECT.fullmatch(address)
    place = _PAGES.get(found[1]) if found else None
    return place.format(found[2]) if found and place else None
