"""Connections to PostgreSQL: one way for pools, commands, migrations and listeners, with the session settings of this code."""

import time
from collections.abc import Mapping
from select import POLLIN, poll
from typing import Any, Final, Literal

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event, pool
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from service.database.address import DatabaseAddress

ANSWER_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 4
_SOUND_SECONDS: Final = 1.0
"""Age up to which an idle connection is reused without a ping, which costs as much as a statement."""
_FORMATS: Final = {"timezone": "UTC", "datestyle": "ISO, MDY"}
"""Formats that psycopg can read; poolers keep these two per client."""
_SETTINGS: Final = {
    **_FORMATS,
    "intervalstyle": "postgres",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "20000",  # a lost client keeps its row locks for this long
}


def arguments_of(
    address: DatabaseAddress, settings: Mapping[str, str] = _SETTINGS, *, connect_seconds: int = _CONNECT_SECONDS
) -> dict[str, Any]:
    """Return the arguments of psycopg's `connect`; the session settings follow the `options` of the URL.

    A pooler in transaction mode takes no session settings when it connects, and has no place for prepared statements.
    """
    own = {"prepare_threshold": None} if address.is_pooled else {"options": _options(address, settings)}
    return {
        **address.parameters,
        **own,
        "client_encoding": "utf8",
        "connect_timeout": connect_seconds,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def _options(address: DatabaseAddress, settings: Mapping[str, str]) -> str:
    ours = [f"-c {name}=" + value.replace(" ", r"\ ") for name, value in settings.items()]
    return " ".join([address.parameters.get("options", ""), *ours]).strip()


class _TimedConnection(psycopg.Connection[Any]):
    """Connection with a client-side timeout, for a server that is silent although TCP still holds the connection.

    After a timeout it is unknown whether the statement was executed, as after a broken connection.
    """

    answer_seconds: float = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


def single_engine(address: DatabaseAddress) -> Engine:
    """Return an engine without a pool and without a timeout of statements, for migrations."""
    engine = create_engine("postgresql+psycopg://", poolclass=pool.NullPool)
    event.listen(engine, "do_connect", lambda *_: psycopg.connect(**arguments_of(address)))
    return engine


def shares_sessions(address: DatabaseAddress) -> bool:
    """Return whether a pooler in transaction mode gives the statements of one connection to several server sessions.

    A pooler invents the process id that a client is given. Two connections, used in turns, then see whose sessions they get.
    """
    with psycopg.connect(**_probing(address), autocommit=True) as first:
        if _server_process(first) == first.info.backend_pid:
            return False
        with psycopg.connect(**_probing(address), autocommit=True) as second:
            seen = [(_server_process(first), _server_process(second)) for _ in range(4)]
    return len(set(seen)) > 1 or seen[0][0] == seen[0][1]


def _probing(address: DatabaseAddress) -> dict[str, Any]:
    return arguments_of(address) | {"prepare_threshold": None}


def _server_process(connection: psycopg.Connection[Any]) -> int:
    return int(connection.execute("SELECT pg_backend_pid()").fetchall()[0][0])


def pooled_engine(
    address: DatabaseAddress,
    pool_size: int,
    answer_seconds: float,
    settings: Mapping[str, str] | None = None,
    isolation_level: Literal["AUTOCOMMIT"] | None = None,
) -> Engine:
    """Return an engine whose connections, statements and silence have timeouts; connections are checked before their use.

    Through a pooler, autocommit statements have the client-side timeout only.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        pool_size=pool_size,
        max_overflow=0,  # an overflow connection is closed after each transaction, and opening one is expensive
        pool_timeout=min(2 * answer_seconds, 5),
        isolation_level=isolation_level,
    )
    bounds = {"statement_timeout": str(int(answer_seconds * 1000))}
    seconds = max(2, min(int(answer_seconds), _CONNECT_SECONDS))
    arguments = arguments_of(address, {**_SETTINGS, **bounds, **(settings or {})}, connect_seconds=seconds)

    def connect(*_: object) -> _TimedConnection:
        connection = _TimedConnection.connect(**arguments)
        connection.answer_seconds = answer_seconds + 0.5  # so that the server's timeout comes first
        if address.is_pooled:
            connection.execute(*_set(_FORMATS, is_local=False))
            connection.commit()
        return connection

    def note_use(_connection: _TimedConnection | None, record: ConnectionPoolEntry) -> None:
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
    event.listen(engine, "handle_error", _leave_read_only)
    if address.is_pooled and isolation_level is None:
        bounds["idle_in_transaction_session_timeout"] = _SETTINGS["idle_in_transaction_session_timeout"]
        event.listen(engine, "begin", lambda connection: _set_bounds(connection, bounds))
    return engine


def _set_bounds(connection: Connection, bounds: Mapping[str, str]) -> None:
    statement, values = _set(bounds, is_local=True)
    connection.exec_driver_sql(statement, tuple(values))


def _set(settings: Mapping[str, str], *, is_local: bool) -> tuple[str, list[str]]:
    calls = ", ".join(f"set_config(%s, %s, {str(is_local).lower()})" for _ in settings)
    return f"SELECT {calls}", [part for setting in settings.items() for part in setting]


def _leave_read_only(context: ExceptionContext) -> None:
    """Drop all pooled connections when the server has become read-only: after a failover the primary is another one."""
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


def _has_news(connection: _TimedConnection) -> bool:
    """Return whether unsolicited data is readable, most likely the end of the connection."""
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))
