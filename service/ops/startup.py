"""Start-up checks of every long-running process.

A process with an unusable environment ends at once with a sentence that names the variable. Later outages are waited out.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Final, NoReturn

import redis
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from service import tracing
from service.database import schema
from service.logging import configure_logging, get_logger, redacted
from service.settings import Settings, get_settings, problems_of
from service.storage.artifact_store import ArtifactStore

log = get_logger(__name__)

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
    configure_logging(settings.log_level, settings.log_format)
    try:
        tracing.configure(program)
    except tracing.TracingNotInstalled as error:
        _end(program, str(error))
    checks = {
        "DSNOT_DATABASE_URL": _check_database,
        "DSNOT_BROKER_URL": _check_broker,
        "DSNOT_ARTIFACT_URL": _check_store,
        **(more or {}),
    }
    problems = _problems(settings, checks)
    if problems:
        _end(program, "; ".join(problems))
    return settings


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
        return f"cannot be used: {_reason(error)}"
    return None


def _check_database(settings: Settings) -> None:
    try:
        problem = schema.revisions(settings.database_url.get_secret_value()).problem
    except ValueError as error:
        raise NotUsable(str(error)) from error
    except SQLAlchemyError as error:
        raise NotUsable(f"the database cannot be reached: {_reason(getattr(error, 'orig', None) or error)}") from error
    if problem is not None:
        raise NotUsable(problem)


def _check_broker(settings: Settings) -> None:
    try:
        url = settings.broker_url.get_secret_value()
        redis.Redis.from_url(url, socket_connect_timeout=4, socket_timeout=4).ping()
    except ValueError as error:
        raise NotUsable(f"is not a URL such as redis://:password@host:6379/0: {error}") from error
    except redis.RedisError as error:
        raise NotUsable(f"the broker cannot be reached: {_reason(error)}") from error


def _check_store(settings: Settings) -> None:
    ArtifactStore(settings.artifact_url).check()


def _reason(error: BaseException) -> str:
    """Return the first line of a library's error, redacted."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0]) if lines else type(error).__name__


def _end(program: str, message: str) -> NoReturn:
    """End the process without waiting for threads that may hang."""
    sys.stderr.write(f"dsnot {program}: {message}\n")
    sys.stderr.flush()
    os._exit(1)
