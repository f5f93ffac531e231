"""SQL of the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from service.database import keyset
from service.database.engine import delete_batch, insert_row, table_of
from service.database.tables.audit import AuditEntry
from service.database.tables.quotas import TenantQuota
from service.kit.pagination import Cursor
from service.tenants.quotas.retention import past_retention

_BATCH: Final = 5_000
_COMPLETE: Final = (
    update(table_of(AuditEntry))
    .where(AuditEntry.id == bindparam("entry_id"))
    .values({name: bindparam(name) for name in ("status", "problem", "created")})
)


DRY_RUNS: Final = {"create_job": "plan_job", "create_sweep": "plan_sweep", "fire_trigger": "plan_trigger"}
"""Actions of requests that were only validated, by the action of the others."""


@dataclass(frozen=True)
class EntryFilter:
    """Filter of audit entries; a field that is None does not filter."""

    key_id: str | None = None
    action: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    with_plans: bool = True
    """Whether requests that were only validated are included; one chosen by `action` always is."""


def add(
    session: Session,
    *,
    tenant: str,
    action: str,
    path: str,
    key_id: str | None = None,
    request_id: str | None = None,
    address: str | None = None,
) -> UUID:
    """Insert an entry without outcome and return its id."""
    entry_id = uuid4()
    caller = {"tenant": tenant, "key_id": key_id, "request_id": request_id, "address": address}
    insert_row(session, AuditEntry, id=entry_id, action=action, path=path, **caller)
    return entry_id


def complete(session: Session, entry_id: UUID, *, status: int, problem: str | None, created: str | None) -> None:
    """Record the outcome of an entry's request."""
    session.connection().execute(_COMPLETE, {"entry_id": entry_id, "status": status, "problem": problem, "created": created})


def newest(session: Session, wanted: EntryFilter, *, tenant: str, before: Cursor | None, limit: int) -> Sequence[AuditEntry]:
    """Return up to `limit` of the tenant's entries, newest first, older than the cursor."""
    statement = select(AuditEntry).where(AuditEntry.tenant == tenant)
    if wanted.key_id is not None:
        statement = statement.where(AuditEntry.key_id == wanted.key_id)
    if wanted.action is not None:
        statement = statement.where(AuditEntry.action == wanted.action)
    elif not wanted.with_plans:
        statement = statement.where(AuditEntry.action.not_in(DRY_RUNS.values()))
    if wanted.created_after is not None:
        statement = statement.where(AuditEntry.created_at > wanted.created_after)
    if wanted.created_before is not None:
        statement = statement.where(AuditEntry.created_at < wanted.created_before)
    return keyset.newest(session, statement, AuditEntry.created_at, AuditEntry.id, before=before, limit=limit)


def forget(session: Session, *, keep_seconds: float) -> int:
    """Delete a batch of entries older than `keep_seconds` or their tenant's own retention; return their number."""
    old = past_retention(AuditEntry.created_at, TenantQuota.keep_audit_seconds, keep_seconds, limit=_BATCH)
    return delete_batch(session, AuditEntry, AuditEntry.id.in_(old))
