"""What the service answers while something that it needs is away."""

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from service.contract.scopes import Scope
from service.database import schema
from service.database.engine import Database
from service.embedded import postgres
from service.embedded.processes import Child, free_port
from service.settings import Settings
from tests.support.api_server import BODY, client, insert_job, key_for, serving

SOME_ID = UUID(int=1)


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    return f"127.0.0.1:{free_port()}"


def test_jobs_are_accepted_while_the_broker_is_down(settings: Settings, database: Database, nowhere: str) -> None:
    changed = {"broker_url": type(settings.broker_url)(f"redis://{nowhere}/0")}
    with serving(settings.model_copy(update=changed)) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        path = api.post("/v1/jobs", json=BODY).headers["location"]
        assert api.get(path).json()["state"] == "queued"
        assert api.post(f"{path}/cancel").status_code == 200
        response = api.get("/readyz")
        assert response.status_code == 503
        assert {name: part["ok"] for name, part in response.json().items() if name != "ready"} == {
            "database": True,
            "broker": False,
            "artifact_store": True,
        }


def test_a_service_with_all_dependencies_is_ready(api: httpx.Client) -> None:
    response = api.get("/readyz", headers={"Authorization": ""})
    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert api.head("/readyz", headers={"Authorization": ""}).status_code == 200


def test_a_service_without_its_artifact_directory_is_not_ready(api: httpx.Client, settings: Settings) -> None:
    Path(settings.artifact_url.removeprefix("file://")).rmdir()
    response = api.get("/readyz")
    assert (response.status_code, response.json()["artifact_store"]["ok"]) == (503, False)
    assert response.json()["database"]["ok"] is True


def test_every_route_reports_a_database_outage_with_retry_after(api: httpx.Client, settings: Settings, nowhere: str) -> None:
    changed = {"database_url": type(settings.database_url)(f"postgresql://u:p4ssw0rd@{nowhere}/d")}
    document = api.get("/openapi.json").json()
    key = f"dsnot_{'a' * 12}_{'b' * 43}"
    with serving(settings.model_copy(update=changed)) as url, client(url, key) as broken:
        assert broken.get("/livez").status_code == 200
        assert broken.get("/readyz").status_code == 503
        for path, methods in document["paths"].items():
            for method in methods if path.startswith("/v1/") else ():
                address = path.replace("{job_id}", str(SOME_ID)).replace("{path}", "x")
                response = broken.request(method, address, json=BODY if (method, path) == ("post", "/v1/jobs") else None)
                assert (response.status_code, response.json()["code"]) == (503, "unavailable"), path
                assert int(response.headers["retry-after"]) > 0
                assert "p4ssw0rd" not in response.text


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[tuple[Child, str]]:
    """A PostgreSQL server that a test may stop."""
    child, url = postgres.start(tmp_path / "own")
    schema.upgrade(url)
    yield child, url
    child.stop(10)


def test_a_stopped_database_is_noticed_by_a_connected_service(
    settings: Settings, own_server: tuple[Child, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.event_stream.KEEPALIVE_SECONDS", 1.0)
    child, database_url = own_server
    own = settings.model_copy(update={"database_url": type(settings.database_url)(database_url)})
    database = Database(database_url)
    key, job_id = key_for(database, Scope.ADMIN), insert_job(database)
    database.close()
    with serving(own) as url, client(url, key) as api:
        assert api.get(f"/v1/jobs/{job_id}").status_code == 200
        with api.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}) as stream:
            child.stop(10)
            assert api.get(f"/v1/jobs/{job_id}").status_code == 503
            assert api.get("/readyz").json()["database"]["ok"] is False
            assert next(stream.iter_lines()).startswith(":"), "an open stream waits for the database"


def test_a_database_with_pending_migrations_is_not_ready(settings: Settings, database: Database) -> None:
    with database.engine.begin() as connection:
        current = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    try:
        with serving(settings) as url, client(url, None) as api:
            response = api.get("/readyz")
            assert response.status_code == 503
            assert "run `dsnot migrate`" in response.json()["database"]["detail"]
    finally:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = %s", (current,))


def test_the_readiness_check_does_not_wait_for_hanging_servers(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr("service.ops.health.operations._check_broker", lambda _queue: answered.wait())
    monkeypatch.setattr("service.ops.health.operations._SECONDS", 1.5)
    for _ in range(2):
        response = api.get("/readyz")
        assert response.json()["broker"] == {"ok": False, "detail": "no answer in time"}
        assert response.json()["database"]["ok"] is True
    answered.set()
