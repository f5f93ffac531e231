"""Database access: connection pools, transactions as context managers, and the declarative base."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, DateTime, Insert, MetaData, Table, delete, func, insert, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session

from service.database.address import DatabaseAddress
from service.database.connecting import ANSWER_SECONDS, pooled_engine

__all__ = [
    "TRANSIENT",
    "Base",
    "Database",
    "Session",
    "delete_batch",
    "in_seconds",
    "insert_row",
    "insert_rows",
    "save",
    "table_of",
]

TRANSIENT: Final = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""Errors of a database that is unreachable, restarting, or read-only after a failover."""

_BATCH: Final = 5_000
"""Rows that a retention rule deletes in one transaction, which takes well under the timeout of an answer."""

_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base of all tables, with names for constraints and types for annotations."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB}  # noqa: RUF012


Row = TypeVar("Row", bound=Base)


def in_seconds(seconds: float | ColumnElement[float]) -> ColumnElement[datetime]:
    """Return the SQL expression `now() + seconds` on the database's clock; NULL where `seconds` is NULL."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def delete_batch(session: Session, entity: type["Base"], *which: ColumnElement[bool]) -> int:
    """Delete up to a batch of matching rows, but none that another transaction has locked; return their number."""
    key = tuple_(*table_of(entity).primary_key)
    # a CTE runs once; a plan may run a subquery once per row, each time with other rows
    batch = select(*table_of(entity).primary_key).where(*which).limit(_BATCH).with_for_update(skip_locked=True).cte("batch")
    gone = delete(entity).where(key.in_(select(*batch.c))).returning(*table_of(entity).primary_key)
    return len(session.execute(gone, execution_options={"synchronize_session": False}).all())


def table_of(entity: type["Base"]) -> Table:
    """Return the table of an entity, for statements without ORM objects."""
    table = entity.__table__
    assert isinstance(table, Table)
    return table


def save(session: Session, row: Row) -> Row:
    """Write a new or changed object and return it with the values that the database has computed."""
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def insert_row(session: Session, entity: type["Base"], **values: Any) -> None:
    """Insert a row without an ORM object, in a third of the time, for rows that the transaction does not read back."""
    session.connection().execute(_insert(entity), values)


def insert_rows(session: Session, entity: type["Base"], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows like `insert_row`, in one round trip."""
    session.connection().execute(_insert(entity), rows)


@cache
def _insert(entity: type["Base"]) -> Insert:
    return insert(table_of(entity))


class Database:
    """Two connection pools, for transactions and for autocommit; connecting, statements and silence all have timeouts.

    Args:
        pool_size: maximum number of concurrent transactions; a further one waits up to twice `answer_seconds`, at most 5 s.
        at_once: maximum number of connections for autocommit statements.
        answer_seconds: timeout of an answer. A caller may wait for it twice: on a silent pooled connection, then on its
            replacement.
    """

    def __init__(
        self,
        address: DatabaseAddress | str,
        *,
        pool_size: int = 20,
        at_once: int = 1,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        address = DatabaseAddress.of(address)
        self.engine = pooled_engine(address, pool_size, answer_seconds)
        asynchronous = {"synchronous_commit": "off"}
        self._at_once = pooled_engine(address, at_once, answer_seconds, asynchronous, isolation_level="AUTOCOMMIT")

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Run a transaction: committed at the end, rolled back on an exception. Loaded rows stay readable afterwards."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def at_once(self) -> Iterator[Session]:
        """Yield an autocommit session: one round trip per statement, where a transaction takes two more.

        Commits are asynchronous and become durable with the next synchronous one. The pool is separate, because transactions
        may wait for each other's locks.
        """
        with Session(self._at_once, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Close both pools."""
        self.engine.dispose()
        self._at_once.dispose()
