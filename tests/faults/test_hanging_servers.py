"""Connections that are half open: nothing arrives, and nobody is told."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import BODY, client, key_for, serving
from tests.support.job_rows import attempts_of, insert_job, job_row
from tests.support.processes import dispatching, working
from tests.support.servers import at, through
from tests.support.tcp_proxy import Wire
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually

LEASE_SECONDS = 5.0


@pytest.fixture
def wires(settings: Settings) -> Iterator[dict[str, Wire]]:
    """In front of the database and of the broker."""
    places = {"database_url": settings.database_url, "broker_url": settings.broker_url}
    made = {}
    for name, url in places.items():
        place = urlsplit(url.get_secret_value())
        assert place.hostname
        assert place.port
        made[name] = Wire(place.hostname, place.port)
    yield made
    for wire in made.values():
        wire.close()


def behind(settings: Settings, wires: dict[str, Wire]) -> Settings:
    urls = {"database_url": settings.database_url.get_secret_value(), "broker_url": settings.broker_url.get_secret_value()}
    return at(settings, **{name: through(urls[name], wire.port) for name, wire in wires.items()})


def test_every_request_is_answered_while_the_database_hangs(
    settings: Settings, database: Database, wires: dict[str, Wire]
) -> None:
    key = key_for(database, Scope.ADMIN)
    with serving(behind(settings, wires)) as url, client(url, key) as api:
        path = api.post("/v1/jobs", json=BODY).headers["location"]
        with wires["database_url"].silent():
            for method, address in (("GET", path), ("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/readyz")):
                answer = api.request(method, address, json=BODY if method == "POST" else None)
                assert answer.status_code == 503, address
                assert int(answer.headers["retry-after"]) > 0
        eventually(lambda: api.get(path).status_code == 200)


def test_a_hanging_broker_does_not_affect_requests(settings: Settings, database: Database, wires: dict[str, Wire]) -> None:
    key = key_for(database, Scope.ADMIN)
    with serving(behind(settings, wires)) as url, client(url, key) as api, wires["broker_url"].silent():
        assert api.post("/v1/jobs", json=BODY).status_code == 201


def test_worker_and_dispatcher_recover_from_hanging_servers(
    settings: Settings, database: Database, wires: dict[str, Wire], tmp_path: Path
) -> None:
    save_model(settings.model_root / "slow", layers=10, width=64)
    save_model(settings.model_root / "tiny")
    half_open = behind(settings.model_copy(update={"lease_seconds": LEASE_SECONDS}), wires)
    calibration = {"dataset": "c4-sample:test", "num_samples": 128, "sequence_length": 128}
    with dispatching(half_open, tmp_path), working(half_open, tmp_path) as worker:
        long = insert_job(database, model={"source": "local", "id": "slow"}, calibration=calibration)
        eventually(lambda: (job_row(database, long).progress or {}).get("done", 0) > 0)
        with wires["database_url"].silent(), wires["broker_url"].silent():
            eventually(lambda: b"unreachable until the lease expired" in worker.log.read_bytes())
        following = insert_job(database)
        eventually(lambda: job_row(database, long).finished_at)
        eventually(lambda: job_row(database, following).finished_at)
    assert [job_row(database, job).state for job in (long, following)] == [JobState.SUCCEEDED] * 2
    assert attempts_of(database, long)[0].outcome == "lease_expired"
