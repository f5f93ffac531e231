"""SQL of keyset pagination, newest first; cursors and pages are in `service.kit.pagination`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.kit.pagination import Cursor

Row = TypeVar("Row")


def newest(
    session: Session,
    statement: Select[Row],
    created_at: InstrumentedAttribute[datetime],
    row_id: InstrumentedAttribute[Any],
    *,
    before: Cursor[Any] | None,
    limit: int | None,
) -> Sequence[Row]:
    """Return up to `limit` rows older than the cursor, ordered by creation time and id."""
    if before is not None:
        statement = statement.where(tuple_(created_at, row_id) < (before.created_at, before.id))
    return session.scalars(statement.order_by(created_at.desc(), row_id.desc()).limit(limit)).all()
