"""Readiness checks of database, broker and artifact store, with a timeout."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Final

from service.broker.queue import Queue
from service.contract.devices import QUEUE
from service.database import schema
from service.database.engine import Database
from service.logging import get_logger
from service.ops.reasons import reason_of
from service.storage.artifact_store import ArtifactStore

log = get_logger(__name__)
_SECONDS: Final = 2.5


@dataclass(frozen=True)
class Verdict:
    """Result of one dependency's check."""

    ok: bool
    detail: str


class DatabaseUnfit(Exception):
    """Database that answers and cannot be used: read-only, or with another schema."""


class Readiness:
    """Checks in a thread pool, so that a hanging one delays neither the answer nor other requests.

    The pool is small: while all its threads hang, later checks time out and count as failed.
    """

    def __init__(self, checks: Mapping[str, Callable[[], None]]) -> None:
        self._checks = checks
        self._threads = ThreadPoolExecutor(2 * len(checks), thread_name_prefix="readiness")

    def check(self) -> dict[str, Verdict]:
        """Return a verdict per dependency, within `_SECONDS` in total."""
        began = monotonic()
        running = {name: self._threads.submit(check) for name, check in self._checks.items()}
        return {name: _verdict(name, future, began + _SECONDS - monotonic()) for name, future in running.items()}

    def close(self) -> None:
        """Stop the threads without waiting."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def readiness_of(database: Database, store: ArtifactStore, queue: Queue) -> Readiness:
    """Return the readiness checks of a service, by the connections that its requests use."""
    return Readiness(
        {
            "database": lambda: _check_database(database),
            "broker": lambda: _check_broker(queue),
            "artifact_store": store.check,
        }
    )


def _verdict(name: str, future: "Future[None]", seconds: float) -> Verdict:
    try:
        future.result(max(seconds, 0))
    except TimeoutError:
        future.cancel()
        return Verdict(False, "no answer in time")
    except DatabaseUnfit as error:
        return Verdict(False, str(error))
    except Exception as error:  # any failure means that the dependency is unusable
        reason = reason_of(error)
        log.warning("not_ready", dependency=name, error=type(error).__name__, reason=reason)
        return Verdict(False, f"unusable: {reason}")
    return Verdict(True, "ready")


def _check_database(database: Database) -> None:
    with database.at_once() as session:
        problem = schema.problem_on(session.connection())
    if problem is not None:
        raise DatabaseUnfit(problem)


def _check_broker(queue: Queue) -> None:
    queue.backlog(QUEUE)
