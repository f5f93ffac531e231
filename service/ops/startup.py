"""Start-up checks of every long-running process.

A process with an unusable environment ends at once with a sentence that names the variable. Later outages are waited out.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Final, NoReturn, TypeVar

import psycopg
import redis
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from service import tracing
from service.broker.reasons import REASONS_OF_MODES
from service.broker.reasons import reason_of as broker_reason
from service.database import schema
from service.database.connecting import shares_sessions
from service.logging import configure_logging, get_logger
from service.ops import installation
from service.ops.reasons import reason_of
from service.settings import Settings, get_settings, problems_of
from service.storage.artifact_store import ArtifactStore

log = get_logger(__name__)
T = TypeVar("T")

_SECONDS: Final = 8.0
"""Timeout of all checks, which run concurrently."""


class NotUsable(Exception):
    """Failed start-up check, with a sentence for the operator."""


def prepared(program: str, *, more: Mapping[str, Callable[[Settings], None]] | None = None) -> Settings:
    """Configure logs and traces, check the environment and return the settings; a failed check ends the process with status 1.

    Args:
        program: name of the process in messages.
        more: further checks by environment variable; each raises NotUsable.
    """
    heed_hangup()
    try:
        settings = get_settings()
    except ValidationError as error:
        _end(program, "; ".join(problems_of(error)))
    configure_logging(settings.log_level, settings.log_format, settings.secrets())
    try:
        tracing.configure(program)
    except tracing.TracingNotInstalled as error:
        _end(program, str(error))
    checks = {
        "DSNOT_DATABASE_URL": _check_database,
        "DSNOT_DATABASE_DIRECT_URL": _check_direct_database,
        "DSNOT_BROKER_URL": _check_broker,
        "DSNOT_ARTIFACT_URL": _check_store,
        **(more or {}),
    }
    problems = _problems(settings, checks)
    if problems:
        _end(program, "; ".join(problems))
    try:
        return with_broker_prefix(settings)
    except NotUsable as error:
        _end(program, f"DSNOT_DATABASE_URL: {error}")


def with_broker_prefix(settings: Settings) -> Settings:
    """Return the settings with the prefix of this deployment's keys in the broker. Raise NotUsable."""
    return settings.model_copy(update={"broker_prefix": _reached(lambda: installation.broker_prefix(settings))})


def heed_hangup() -> None:
    """Let SIGHUP stop a process on a terminal, as SIGTERM does: it was closed. Ignore it elsewhere: nothing can be reloaded."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return
    on_terminal = os.isatty(0)
    signal.signal(signal.SIGHUP, (lambda *_: signal.raise_signal(signal.SIGTERM)) if on_terminal else signal.SIG_IGN)


def _problems(settings: Settings, checks: Mapping[str, Callable[[Settings], None]]) -> list[str]:
    until = monotonic() + _SECONDS
    threads = ThreadPoolExecutor(len(checks), thread_name_prefix="startup")
    running = {variable: threads.submit(check, settings) for variable, check in checks.items()}
    found = [(variable, _problem(future, until - monotonic())) for variable, future in running.items()]
    threads.shutdown(wait=False, cancel_futures=True)
    return [f"{variable}: {problem}" for variable, problem in found if problem is not None]


def _problem(future: "Future[None]", seconds: float) -> str | None:
    try:
        future.result(max(seconds, 0))
    except TimeoutError:
        return f"no answer within {_SECONDS:.0f} s"
    except NotUsable as error:
        return str(error)
    except Exception as error:
        return f"cannot be used: {reason_of(error)}"
    return None


def _check_database(settings: Settings) -> None:
    problem = _reached(lambda: schema.problem_of(settings.database_address))
    if problem is not None:
        raise NotUsable(problem)
    if settings.database_direct_url is None and _reached(lambda: shares_sessions(settings.direct_address)):
        raise NotUsable(
            "leads to a connection pooler in transaction mode, which passes on no notifications; "
            "set DSNOT_DATABASE_DIRECT_URL to the PostgreSQL server itself"
        )


def _check_direct_database(settings: Settings) -> None:
    if settings.database_direct_url is None:
        return
    if _reached(lambda: shares_sessions(settings.direct_address)):
        raise NotUsable("leads to a connection pooler in transaction mode; name the PostgreSQL server itself")
    addresses = (settings.direct_address, settings.database_address)
    if len({_reached(lambda: schema.installation_of(address)) for address in addresses}) > 1:  # noqa: B023
        raise NotUsable("leads to another database than DSNOT_DATABASE_URL; name the same database")


def _reached(call: Callable[[], T]) -> T:
    try:
        return call()
    except (SQLAlchemyError, psycopg.Error) as error:
        raise NotUsable(f"the database cannot be used: {reason_of(error)}") from error


def _check_broker(settings: Settings) -> None:
    url = settings.broker_url.get_secret_value()
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=4, socket_timeout=4)
        client.ping()
        with suppress(redis.exceptions.NoPermissionError):  # of a user who may not ask
            server: dict[str, str] = client.info("server")
            if reason := REASONS_OF_MODES.get(server.get("server_mode") or server.get("redis_mode", "")):
                raise NotUsable(f"the broker cannot be used: {reason}")
    except (redis.RedisError, OSError, ValueError, TypeError) as error:
        raise NotUsable(f"the broker cannot be used: {broker_reason(error)}") from error


def _check_store(settings: Settings) -> None:
    ArtifactStore(settings.artifact_url).check()


def _end(program: str, message: str) -> NoReturn:
    """End the process without waiting for threads that may hang."""
    sys.stderr.write(f"dsnot {program}: {message}\n")
    sys.stderr.flush()
    os._exit(1)
