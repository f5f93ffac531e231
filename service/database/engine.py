"""Database access: connection pools, transactions as context managers, and the declarative base."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from select import POLLIN, poll
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Engine,
    Insert,
    MetaData,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, InternalError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = [
    "TRANSIENT",
    "Base",
    "Database",
    "Session",
    "database_dsn",
    "delete_batch",
    "in_seconds",
    "insert_row",
    "save",
    "table_of",
]

TRANSIENT: Final = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""Errors of a database that is unreachable, restarting, or read-only after a failover."""

_ANSWER_SECONDS: Final = 15.0
_SOUND_SECONDS: Final = 1.0
"""Age up to which an idle connection is reused without a ping, which costs as much as a statement."""

_BATCH: Final = 5_000
"""Rows that a retention rule deletes in one transaction, which takes well under `_ANSWER_SECONDS`."""

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


def database_dsn(database_url: str) -> URL:
    """Return the URL with the driver psycopg 3.

    Raises:
        ValueError: it is not a PostgreSQL URL.
    """
    try:
        url = make_url(database_url)
    except Exception as error:
        raise ValueError("DSNOT_DATABASE_URL is not a database URL such as postgresql://user:password@host/name") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError(f"DSNOT_DATABASE_URL has the scheme {url.get_backend_name()}; only postgresql is supported")
    return url.set(drivername="postgresql+psycopg")


def in_seconds(seconds: float | ColumnElement[float]) -> ColumnElement[datetime]:
    """Return the SQL expression `now() + seconds` on the database's clock; NULL where `seconds` is NULL."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def delete_batch(session: Session, entity: type["Base"], *which: ColumnElement[bool]) -> int:
    """Delete up to a batch of matching rows, but none that another transaction has locked; return their number."""
    key = tuple_(*table_of(entity).primary_key)
    batch = select(*table_of(entity).primary_key).where(*which).limit(_BATCH).with_for_update(skip_locked=True)
    gone = delete(entity).where(key.in_(batch)).returning(*table_of(entity).primary_key)
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


@cache
def _insert(entity: type["Base"]) -> Insert:
    return insert(table_of(entity))


class _Connection(psycopg.Connection[Any]):
    """Connection with a client-side timeout, for a server that is silent although TCP still holds the connection.

    After a timeout it is unknown whether the statement was executed, as after a broken connection.
    """

    answer_seconds: float = _ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


class Database:
    """Two connection pools, for transactions and for autocommit; connecting, statements and silence all have timeouts.

    Args:
        pool_size: maximum number of concurrent transactions; a further one waits up to twice `answer_seconds`, at most 5 s.
        at_once: maximum number of connections for autocommit statements.
        answer_seconds: timeout of an answer. A caller may wait for it twice: on a silent pooled connection, then on its
            replacement.
    """

    def __init__(
        self, database_url: str, *, pool_size: int = 20, at_once: int = 1, answer_seconds: float = _ANSWER_SECONDS
    ) -> None:
        self.engine = _engine(database_url, pool_size, answer_seconds)
        self._at_once = _engine(database_url, at_once, answer_seconds, "-c synchronous_commit=off", isolation_level="AUTOCOMMIT")

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


def _engine(database_url: str, pool_size: int, answer_seconds: float, options: str = "", **more: Any) -> Engine:
    bounds = f"-c statement_timeout={int(answer_seconds * 1000)} -c idle_in_transaction_session_timeout=60000"
    engine = create_engine(
        database_dsn(database_url),
        pool_size=pool_size,
        max_overflow=0,  # an overflow connection is closed after each transaction, and opening one is expensive
        pool_timeout=min(2 * answer_seconds, 5),
        connect_args={
            "connect_timeout": max(2, min(int(answer_seconds), 4)),
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": f"{bounds} -c timezone=UTC {options}",
        },
        **more,
    )

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> _Connection:
        connection = _Connection.connect(*arguments, **options)
        connection.answer_seconds = answer_seconds + 0.5  # so that the server's timeout comes first
        return connection

    def note_use(_connection: _Connection | None, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    def check(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        used_at = record.info.get("used_at")  # None: a new connection
        try:
            if used_at is not None and (time.monotonic() - used_at > _SOUND_SECONDS or _has_news(connection)):
                engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkin", note_use)
    event.listen(engine, "checkout", check)
    return engine


def _has_news(connection: _Connection) -> bool:
    """Return whether unsolicited data is readable, most likely the end of the connection."""
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))
