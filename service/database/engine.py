"""One way to the database: a pooled engine, a transaction as a context manager, and the declarative base."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from select import POLLIN, poll
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import ColumnElement, DateTime, Engine, Insert, MetaData, Table, create_engine, event, func, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, InternalError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["TRANSIENT", "Base", "Database", "Session", "database_dsn", "in_seconds", "insert_row", "table_of"]

TRANSIENT: Final = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""What the database raises when it is away, restarting or read-only after a failover."""

_ANSWER_SECONDS: Final = 15.0
_SOUND_SECONDS: Final = 1.0
"""For how long a connection is taken as sound without being asked: asking costs as much as a statement."""

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
    """Insert a row that the transaction does not read back: without an ORM object, in a third of the time."""
    session.connection().execute(_insert(entity), values)


@cache
def _insert(entity: type["Base"]) -> Insert:
    return insert(table_of(entity))


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
    """Two pools of connections. Half-open connections are noticed: connecting, statements and silence are all bounded.

    Args:
        pool_size: how many transactions at most; whoever wants one more waits for it, up to twice `answer_seconds` and 5 s.
        at_once: how many connections at most for statements that need no transaction.
        answer_seconds: how long an answer may take. A caller who waits meets it up to twice: in a connection of the pool that
            has gone silent, and in the new one.
    """

    def __init__(
        self, database_url: str, *, pool_size: int = 20, at_once: int = 1, answer_seconds: float = _ANSWER_SECONDS
    ) -> None:
        self.engine = _engine(database_url, pool_size, answer_seconds)
        self._at_once = _engine(database_url, at_once, answer_seconds, "-c synchronous_commit=off", isolation_level="AUTOCOMMIT")

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back by an exception. Rows stay readable after it."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def at_once(self) -> Iterator[Session]:
        """Statements that each take effect by themselves: one message to the database each, where a transaction takes two more.

        They do not wait for the disk; the next commit that does makes them last, too. Their connections are their own, for
        transactions may wait for each other's locks.
        """
        with Session(self._at_once, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()
        self._at_once.dispose()


def _engine(database_url: str, pool_size: int, answer_seconds: float, options: str = "", **more: Any) -> Engine:
    bounds = f"-c statement_timeout={int(answer_seconds * 1000)} -c idle_in_transaction_session_timeout=60000"
    engine = create_engine(
        database_dsn(database_url),
        pool_size=pool_size,
        max_overflow=0,  # a connection beyond the pool would be closed after each transaction, and opening one is dear
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
        connection.answer_seconds = answer_seconds + 0.5  # the server gives up first
        return connection

    def note_use(_connection: _Connection | None, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    def check(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        used_at = record.info.get("used_at")  # None: it is new
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
    """Whether something has come in that nobody has asked for: most likely that the connection has ended."""
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))
