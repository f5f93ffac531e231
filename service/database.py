"""One way to the database: a pooled engine, a transaction as a context manager, and the declarative base."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import ColumnElement, DateTime, MetaData, Table, create_engine, event, func, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session

__all__ = ["TRANSIENT", "Base", "Database", "Session", "commit_soon", "database_dsn", "in_seconds", "insert_row", "table_of"]

TRANSIENT: Final = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""What the database raises when it is away, restarting or read-only after a failover."""

_ANSWER_SECONDS: Final = 15.0

_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB}  # noqa: RUF012


def database_dsn(database_url: str) -> URL:
    """`postgresql://…` with our driver, psycopg 3, filled in.

    Raises:
        ValueError: it is not a PostgreSQL address.
    """
    try:
        url = make_url(database_url)
    except Exception as error:
        raise ValueError("DSNOT_DATABASE_URL is not a database address such as postgresql://user:password@host/name") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError(f"DSNOT_DATABASE_URL names {url.get_backend_name()}; only postgresql is supported")
    return url.set(drivername="postgresql+psycopg")


def in_seconds(seconds: float | ColumnElement[float]) -> ColumnElement[datetime]:
    """The database's own time so many seconds after the transaction began; NULL where `seconds` is."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def table_of(entity: type["Base"]) -> Table:
    """For statements that need no objects."""
    table = entity.__table__
    assert isinstance(table, Table)
    return table


def insert_row(session: Session, entity: type["Base"], **values: Any) -> None:
    """Write a row that this transaction does not read: without an object for it, in a third of the time."""
    session.connection().execute(insert(table_of(entity)).values(values))


def commit_soon(session: Session) -> None:
    """Have the transaction not wait for the disk: the next one that does makes this one last, too."""
    session.connection().exec_driver_sql("SET LOCAL synchronous_commit = off")


class _Connection(psycopg.Connection[Any]):
    """Does not wait for ever for a server that has gone silent, whose connection the kernel takes for sound.

    Whether what was asked has been done is then not known, as when a connection breaks.
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
    """A pool of connections. Half-open connections are noticed: connecting, statements and silence are all bounded.

    Args:
        pool_size: how many at most; whoever wants one more waits for it, up to twice `answer_seconds` and 5 s.
        answer_seconds: how long an answer may take. A caller who waits meets it up to twice: in a connection of the pool that
            has gone silent, and in the new one.
    """

    def __init__(self, database_url: str, *, pool_size: int = 20, answer_seconds: float = _ANSWER_SECONDS) -> None:
        statement_timeout = f"-c statement_timeout={int(answer_seconds * 1000)}"
        self.engine = create_engine(
            database_dsn(database_url),
            pool_pre_ping=True,
            pool_size=pool_size,
            max_overflow=0,  # a connection beyond the pool would be closed after each transaction, and opening one is dear
            pool_timeout=min(2 * answer_seconds, 5),
            connect_args={
                "connect_timeout": max(2, min(int(answer_seconds), 4)),
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "options": f"{statement_timeout} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC",
            },
        )

        def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> _Connection:
            connection = _Connection.connect(*arguments, **options)
            connection.answer_seconds = answer_seconds + 0.5  # the server gives up first
            return connection

        event.listen(self.engine, "do_connect", connect)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back by an exception. Rows stay readable after it."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()
