"""Keeping and reading the record of who did what."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from service.audit import repository
from service.audit.repository import EntryFilter
from service.audit.tables import AuditEntry
from service.cursor import Cursor, Page, page_of
from service.database import Database


@dataclass(frozen=True)
class Answered:
    """What came of the request of an entry."""

    entry_id: UUID
    status: int
    problem: str | None
    created: str | None


def complete(database: Database, answers: Sequence[Answered]) -> list[None]:
    """Note what came of requests. Nothing of it can be refused."""
    with database.at_once() as session:
        repository.complete(session, [vars(each) for each in answers])
    return [None] * len(answers)


def note_command(database: Database, *, tenant: str, action: str, path: str) -> None:
    """What whoever runs the service has done past the API."""
    with database.begin() as session:
        repository.add(session, [{"id": uuid4(), "tenant": tenant, "action": action, "path": path}])


def list_newest(database: Database, wanted: EntryFilter, *, tenant: str, cursor: str | None, limit: int) -> Page[AuditEntry]:
    """Raises InvalidInput for a cursor that is none."""
    before = Cursor.decode(cursor) if cursor else None
    with database.begin() as session:
        found = repository.newest(session, wanted, tenant=tenant, before=before, limit=limit + 1)
    return page_of(found, limit)
