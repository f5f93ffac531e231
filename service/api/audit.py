"""Routes of the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from service.kit.datetimes import Moment
from service.tenants.audit import operations
from service.tenants.audit.repository import EntryFilter
from service.tenants.audit.schemas import AuditPage, AuditView
from service.tenants.keys.schemas import KeyId
from service.web.authentication import Admin
from service.web.dependencies import TheDatabase
from service.web.query_parameters import PageCursor, PageLimit

router = APIRouter(prefix="/v1/audit", tags=["keys"])

_Action = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]


@router.get("", response_model=AuditPage)
def list_audit(
    caller: Admin,
    database: TheDatabase,
    key_id: Annotated[KeyId | None, Query(description="only requests with this key")] = None,
    action: Annotated[_Action | None, Query(description="only this operation, such as `cancel_job`")] = None,
    created_after: Annotated[Moment | None, Query()] = None,
    created_before: Annotated[Moment | None, Query()] = None,
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> AuditPage:
    """List the tenant's mutating requests, rejected ones included, newest first."""
    wanted = EntryFilter(key_id, action, created_after, created_before)
    page = operations.list_newest(database, wanted, tenant=caller.tenant, cursor=cursor, limit=limit)
    return AuditPage(items=[AuditView.model_validate(each) for each in page.items], next_cursor=page.next_cursor)
