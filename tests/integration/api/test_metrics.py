"""`GET /metrics` of a real service says what is in a real database."""

import io
import json
import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from service.contract.devices import DeviceClass
from service.contract.states import JobState
from service.database.engine import Database
from service.jobs.attempts import repository as attempts
from service.logging import configure_logging
from service.ops.metrics.queue import waiting
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support import job_rows
from tests.support.api_server import client, insert_job, serving
from tests.support.metrics_scrape import Scrape
from tests.support.sweep_points import GRID, run_to_end
from tests.support.tenant_queues import add
from tests.support.waiting import eventually

SOME_ID = UUID(int=1)
IDENTITY = Identity("gpu-7:4711", "gpu-7", DeviceClass.GPU, "H100", 80 * 2**30, 128 * 2**30, {})


@pytest.fixture(autouse=True)
def exposed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the text at every scrape."""
    monkeypatch.setattr("service.api.metrics._KEEP_SECONDS", 0.0)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A service of each test's own, which has counted nothing yet."""
    with serving(settings) as address:
        yield address


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the database at every scrape."""
    monkeypatch.setattr("service.ops.metrics.collector._KEEP_SECONDS", 0.0)


def scrape(api: httpx.Client) -> Scrape:
    return Scrape(f"{api.base_url}/metrics")


def requests(found: Scrape, method: str, route: str, status: str) -> float | None:
    return found.value("dsnot_http_request_seconds_count", method=method, route=route, status=status)


def test_prefer_wait_is_excluded_from_the_request_duration(api: httpx.Client, database: Database) -> None:
    answer = api.get(f"/v1/jobs/{insert_job(database)}", headers={"Prefer": "wait=2"})
    labels = {"method": "GET", "route": "/v1/jobs/{job_id}", "status": "200"}
    eventually(lambda: scrape(api).value("dsnot_http_request_seconds_count", **labels))
    seconds = scrape(api).value("dsnot_http_request_seconds_sum", **labels)
    assert seconds is not None
    assert 0 < seconds <= answer.elapsed.total_seconds() - 2


def test_requests_are_counted_by_route_template(api: httpx.Client) -> None:
    for number in range(3):
        api.get(f"/v1/jobs/{UUID(int=number)}")
    api.get("/v1/jobs")
    api.get("/v1/jobs", headers={"Authorization": ""})
    api.get("/nowhere/1")
    api.get("/nowhere/2")
    api.request("BREW", "/v1/jobs")
    found = scrape(api)
    assert requests(found, "GET", "/v1/jobs/{job_id}", "404") == 3
    assert requests(found, "GET", "/v1/jobs", "200") == 1
    assert requests(found, "GET", "/v1/jobs", "401") == 1
    assert requests(found, "GET", "unmatched", "404") == 2
    assert requests(found, "other", "/v1/jobs", "405") == 1
    assert "/metrics" not in httpx.get(f"{api.base_url}/metrics").text
    assert "/metrics" not in api.get("/openapi.json").json()["paths"]


def test_an_unexpected_error_counts_as_500(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("service.jobs.operations.get", fail)
    assert api.get(f"/v1/jobs/{SOME_ID}").status_code == 500
    assert requests(scrape(api), "GET", "/v1/jobs/{job_id}", "500") == 1


@pytest.mark.usefixtures("fresh")
def test_jobs_are_counted_by_state_and_recent_ends_separately(api: httpx.Client, database: Database) -> None:
    now = datetime.now(UTC)
    insert_job(database, state=JobState.FAILED, finished_at=now - timedelta(minutes=59))
    insert_job(database, state=JobState.FAILED, finished_at=now - timedelta(minutes=61))
    insert_job(database, state=JobState.FAILED, finished_at=now, deleted_at=now)
    insert_job(database, state=JobState.PAUSED, tenant="another")
    found = scrape(api)
    assert {state: found.value("dsnot_jobs", state=state) for state in ("failed", "paused", "running")} == {
        "failed": 2,
        "paused": 1,
        "running": 0,
    }
    assert found.value("dsnot_jobs_ended_last_hour", state="failed") == 1
    assert found.value("dsnot_jobs_ended_last_hour", state="succeeded") == 0


@pytest.mark.usefixtures("fresh")
def test_unfinished_sweeps_are_counted_by_state(api: httpx.Client, database: Database, settings: Settings) -> None:
    one = GRID | {"axes": {"/recipe/preset": ["fast"]}}
    ended, paused, _ = (api.post("/v1/sweeps", json=one).json()["id"] for _ in range(3))
    run_to_end(api, database, settings, ended)
    api.post(f"/v1/sweeps/{paused}/pause")
    found = scrape(api)
    states = ("running", "paused", "cancelling", "finished")
    assert [found.value("dsnot_sweeps_unfinished", state=state) for state in states] == [1, 1, 0, None]


@pytest.mark.usefixtures("fresh")
def test_the_queue_is_counted_by_memory_and_within_the_limits_of_tenants(api: httpx.Client, database: Database) -> None:
    gib = 2**30
    add(database, "one", 2, least_cpu_bytes=gib, least_device_bytes=80 * gib)
    add(database, "one", 1, device="gpu", least_device_bytes=80 * gib + 1)
    add(database, "one", 1, device="cpu", least_cpu_bytes=1000 * gib, least_device_bytes=1)
    add(database, "one", 3)
    add(database, "limited", 5, device="gpu", age=10_000, least_device_bytes=1)
    quotas.set_limits(database, "limited", {"max_running_jobs": 2})
    found = scrape(api)
    expected = {("any", "80"): 2, ("any", "unknown"): 3, ("gpu", "96"): 1, ("gpu", "8"): 2, ("cpu", "more"): 1, ("cpu", "8"): 0}
    assert {key: found.value("dsnot_queue_jobs_by_memory", device=key[0], memory=key[1]) for key in expected} == expected
    assert {d: found.value("dsnot_queue_jobs", device=d) for d in ("any", "gpu", "cpu")} == {"any": 5, "gpu": 3, "cpu": 1}
    quotas.set_limits(database, "limited", {"max_running_jobs": 0})
    with database.begin() as session:
        within = waiting(session).backlogs["gpu"]
    assert within.count == 1
    assert within.oldest_seconds < 5_000


@pytest.mark.usefixtures("fresh")
def test_queue_and_outbox_age_is_that_of_the_oldest_entry(api: httpx.Client, database: Database) -> None:
    job_rows.insert_job(database, age_seconds=10_000, send=False)
    job_rows.insert_job(database, age_seconds=5_000, send=False)
    job_rows.insert_job(database, age_seconds=3_000, device="gpu")
    job_rows.insert_job(database, age_seconds=-6_000, device="gpu", send=False)  # a retry that waits
    found = scrape(api)
    assert {d: found.value("dsnot_queue_jobs", device=d) for d in ("any", "gpu", "cpu")} == {"any": 2, "gpu": 1, "cpu": 0}
    assert found.value("dsnot_queue_oldest_seconds", device="any") == pytest.approx(10_000, abs=600)
    assert found.value("dsnot_queue_oldest_seconds", device="gpu") == pytest.approx(3_000, abs=600)
    assert found.value("dsnot_queue_oldest_seconds", device="cpu") == 0
    assert found.value("dsnot_outbox_messages") == 1
    assert found.value("dsnot_outbox_oldest_seconds") == pytest.approx(0, abs=600)


@pytest.mark.usefixtures("fresh")
def test_attempts_leases_and_workers_are_counted(api: httpx.Client, database: Database) -> None:
    with database.begin() as session:
        workers.started(session, IDENTITY, Usage(1, 2))
    assert scrape(api).value("dsnot_workers", state="idle", device="gpu") == 1
    job_rows.insert_job(database)
    with database.begin() as session:
        attempts.claim_next(session, worker=IDENTITY.id, device=DeviceClass.GPU, lease_seconds=0.2)
    found = scrape(api)
    assert (found.value("dsnot_attempts_open"), found.value("dsnot_workers", state="busy", device="gpu")) == (1, 1)
    assert (
        found.value("dsnot_workers", state="idle", device="gpu"),
        found.value("dsnot_workers", state="busy", device="cpu"),
    ) == (
        0,
        0,
    )
    eventually(lambda: scrape(api).value("dsnot_leases_past_due") == 1)


def test_concurrent_scrapes_share_one_database_query(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ops.metrics.collector._KEEP_SECONDS", 3600.0)
    assert scrape(api).value("dsnot_jobs", state="queued") == 0
    insert_job(database)
    assert scrape(api).value("dsnot_jobs", state="queued") == 0, "of the look before"


@pytest.mark.parametrize("answers", [False, None])
def test_without_a_database_a_scrape_returns_no_stale_figures(settings: Settings, answers: bool | None) -> None:
    """Nobody listens, or somebody who never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if answers is False:
            silent.close()
        away = type(settings.database_url)(f"postgresql://u:p@127.0.0.1:{port}/d")
        with serving(settings.model_copy(update={"database_url": away})) as url, client(url, None) as api:
            api.get("/livez")
            found = scrape(api)
            assert found.value("dsnot_database_up") == 0
            assert "dsnot_jobs" not in found.names
            assert requests(found, "GET", "/livez", "200") == 1


def test_scrapes_are_not_logged_as_requests(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    output, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("sys.stderr", output)
    configure_logging("INFO", "json")
    try:
        scrape(api)
        api.get("/v1/recipes")
        eventually(lambda: '"path": "/v1/recipes"' in output.getvalue())  # written once the answer is out
    finally:
        root.handlers = handlers
        root.setLevel(level)
    paths = [line["path"] for line in map(json.loads, output.getvalue().splitlines()) if line["event"] == "request"]
    assert paths == ["/v1/recipes"]
