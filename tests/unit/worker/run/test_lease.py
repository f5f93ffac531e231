"""The lease where no database answers."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from service.database.engine import Database
from service.jobs.attempts.repository import Claim
from service.settings import Settings
from tests.support.waiting import eventually
from worker.run.lease import ClaimLost, Interruption, Lease, StopRequested

SETTINGS = Settings.model_validate(
    {
        "database_url": "postgresql://",
        "broker_url": "redis://",
        "artifact_url": "file:///artifacts",
        "model_root": "/",
        "cache_dir": "/",
        "lease_seconds": 0.4,
        "heartbeat_seconds": 0.05,
    }
)


class Away:
    """A database that does not answer."""

    @contextmanager
    def begin(self) -> Iterator[Any]:
        raise OperationalError("SELECT 1", {}, Exception("no route to host"))
        yield


def lease(stop: threading.Event) -> Lease:
    def never(reason: Interruption) -> None:
        raise AssertionError(reason)

    return Lease(cast(Database, Away()), Claim(uuid4(), "acme", 1, 1, {}, None), SETTINGS, stop, never)


def check_again_and_again(held: Lease) -> None:
    def check() -> bool:
        held.check()
        return False

    eventually(check)


def test_a_worker_without_database_for_a_lease_loses_its_claim() -> None:
    began = time.monotonic()
    with lease(threading.Event()) as held, pytest.raises(ClaimLost):
        check_again_and_again(held)
    assert time.monotonic() - began >= SETTINGS.lease_seconds


def test_a_stopping_worker_is_interrupted_at_its_next_tick() -> None:
    stop = threading.Event()
    with lease(stop) as held:
        held.check()
        stop.set()
        with pytest.raises(StopRequested):
            held.check()


def test_an_interruption_is_raised_once_so_that_cleanup_runs() -> None:
    stop = threading.Event()
    stop.set()
    with lease(stop) as held:
        with pytest.raises(StopRequested):
            held.check()
        held.check()
