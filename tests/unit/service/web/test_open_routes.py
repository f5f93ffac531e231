"""Routes that need no key, in process and without servers: probes, metrics, the description of the API."""

import asyncio

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from service.api.metrics import Exposition
from service.main import create_app
from service.settings import Settings
from service.web.csrf import CrossSite, check_origin


@pytest.fixture(scope="module")
def app() -> FastAPI:
    places = {"database_url": "postgresql://u:p@127.0.0.1:1/d", "broker_url": "redis://127.0.0.1:1/0"}
    return create_app(Settings.model_validate({**places, "artifact_url": "file:///x", "model_root": "/x", "cache_dir": "/x"}))


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/openapi.json"])
def test_head_is_answered_like_get(app: FastAPI, path: str) -> None:
    client = TestClient(app)
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.headers["content-type"]) == (200, get.headers["content-type"])


def test_the_page_of_the_api_names_every_operation_and_schema(app: FastAPI) -> None:
    text, document = TestClient(app).get("/docs").text, app.openapi()
    operations = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert [name for name in (*operations, *document["components"]["schemas"]) if f'id="{name}"' not in text] == []
    assert "/redoc" not in text
    assert TestClient(app).get("/redoc").status_code == 404


def test_concurrent_scrapes_share_one_collection() -> None:
    class Counting(Collector):
        times = 0

        def collect(self) -> list[object]:  # type: ignore[override]
            self.times += 1
            return []

    registry, counting = CollectorRegistry(), Counting()
    registry.register(counting)
    before = counting.times
    exposition = Exposition(registry)

    async def scrape_often() -> None:
        await asyncio.gather(*(exposition.latest() for _ in range(20)))

    asyncio.run(scrape_often())
    assert counting.times == before + 1


def test_a_foreign_origin_is_refused_with_the_header_that_a_proxy_has_to_pass_on() -> None:
    headers = [(b"origin", b"http://models.example"), (b"host", b"127.0.0.1:8321")]
    with pytest.raises(CrossSite, match="proxy_set_header Host"):
        check_origin(Request({"type": "http", "headers": headers}))
