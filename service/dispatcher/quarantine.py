"""Quarantine of files that no row names: recorded when first seen, deleted after a grace period."""

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.database.engine import in_seconds
from service.database.tables.installation import OrphanedFile


def record(session: Session, *, orphaned: Collection[str], named: Collection[str]) -> int:
    """Record files that no row names, and release those that a row names; return the number of new ones."""
    session.execute(delete(OrphanedFile).where(OrphanedFile.path.in_(named)))
    if not orphaned:
        return 0
    rows = insert(OrphanedFile).values([{"path": path} for path in orphaned]).on_conflict_do_nothing()
    return len(session.scalars(rows.returning(OrphanedFile.path)).all())


def expired(session: Session, paths: Collection[str], *, keep_seconds: float) -> set[str]:
    """Return the files that have been recorded for `keep_seconds`."""
    old = OrphanedFile.path.in_(paths), OrphanedFile.first_seen_at <= in_seconds(-keep_seconds)
    return set(session.scalars(select(OrphanedFile.path).where(*old)))


def forget_expired(session: Session, *, keep_seconds: float) -> None:
    """Delete the records of files that were deleted, or are in the store no more."""
    session.execute(delete(OrphanedFile).where(OrphanedFile.first_seen_at <= in_seconds(-keep_seconds)))
