"""Writing and listing audit log entries."""

from uuid import UUID

from service.database.engine import TRANSIENT, Database
from service.database.tables.audit import AuditEntry
from service.kit.pagination import Cursor, Page, page_of
from service.logging import get_logger
from service.tenants.audit import repository
from service.tenants.audit.repository import EntryFilter

log = get_logger(__name__)


def complete(database: Database, entry_id: UUID, *, status: int, problem: str | None, created: str | None) -> None:
    """Record the outcome of an entry's request. If the database is unreachable, only a warning is logged."""
    try:
        with database.at_once() as session:
            repository.complete(session, entry_id, status=status, problem=problem, created=created)
    except TRANSIENT as error:
        log.warning("audit_entry_incomplete", entry=str(entry_id), status=status, error=type(error).__name__)


def note_command(database: Database, *, tenant: str, action: str, path: str) -> None:
    """Record an operator's command, which does not go through the API."""
    with database.begin() as session:
        repository.add(session, tenant=tenant, action=action, path=path)


def list_newest(database: Database, wanted: EntryFilter, *, tenant: str, cursor: str | None, limit: int) -> Page[AuditEntry]:
    """Return one page of the tenant's audit log, newest first. Raises InvalidInput: the cursor is invalid."""
    before = Cursor.decode(cursor) if cursor else None
    with database.begin() as session:
        found = repository.newest(session, wanted, tenant=tenant, before=before, limit=limit + 1)
    return page_of(found, limit)
