"""A whole job behind nginx with a path prefix and PgBouncer in transaction mode, with a worker of restricted rights."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.client import ApiError, Client, Event
from service.database.engine import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support import nginx
from tests.support.api_server import client as client_of
from tests.support.long_jobs import LONG, save_slow_model, wait_until_it_prunes
from tests.support.page_jobs import BODY, is_unbroken, mark
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.processes import dispatching, working
from tests.support.restricted_role import restricted_role
from tests.support.servers import Api, at, stopping
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually

PREFIX = "/tools/dsnot"
LAYERS = 6


@dataclass(frozen=True)
class Deployment:
    """Settings of its processes, its service and pooler, and the folder of its proxy."""

    settings: Settings
    of_workers: Settings
    service: Api
    pooler: PgBouncer
    proxy: Path


@pytest.fixture
def deployment(settings: Settings, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    proxy = tmp_path / "nginx"
    proxy.mkdir()
    with restricted_role(database_url) as role_url, pgbouncer(tmp_path, database_url, role_url) as pooler:
        behind = settings.model_copy(update={"root_path": PREFIX, "trusted_proxies": ["127.0.0.1"]})
        owner, role = (
            at(behind, database_url=pooled, database_direct_url=direct)
            for pooled, direct in zip(pooler.urls, (database_url, role_url), strict=True)
        )
        service = Api(owner, tmp_path)
        with stopping(service):
            yield Deployment(owner, role, service, pooler, proxy)


@pytest.fixture
def url(deployment: Deployment) -> Iterator[str]:
    """The service's address at the proxy."""
    with nginx.running(deployment.proxy, deployment.service.url, PREFIX, strips=True) as address:
        yield address


def test_a_whole_job_runs_behind_pooler_and_proxy(
    deployment: Deployment, url: str, key: str, opened: Opening, tmp_path: Path
) -> None:
    save_model(deployment.settings.model_root / "tiny", layers=LAYERS)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join("the of and to in a is that for on " * 40 + str(number) for number in range(1000)))
    page = sign_in_at(opened, key)
    with Client(url, key) as client, ThreadPoolExecutor(1) as threads:
        dataset = client.datasets.upload(texts)
        assert texts.stat().st_size > 1_000_000  # more than the proxy and the kernel buffer
        job = client.jobs.create(BODY | {"calibration": {"dataset": dataset.id, "num_samples": 4, "sequence_length": 64}})
        followed = threads.submit(lambda: list(client.jobs.events(job.id)))
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
        page.get_by_role("link", name="tiny").click()
        page.wait_for_url(f"{url}/jobs/{job.id}")
        mark(page)
        expect(page.locator("#status .headline")).to_contain_text("queued")
        with dispatching(deployment.settings, tmp_path), working(deployment.of_workers, tmp_path):
            expect(page.locator("#status .headline")).to_contain_text("succeeded")
        assert_complete(followed.result(CEILING_SECONDS), blocks=LAYERS)
        assert is_unbroken(page)
        tabs = page.get_by_role("navigation", name="Parts of this job")
        tabs.get_by_role("link", name="Layers").click()
        expect(page.locator("#heat-chart .cell")).to_have_count(LAYERS * 7)
        tabs.get_by_role("link", name="Events").click()
        expect(page.locator("#events tbody tr").first).to_contain_text("succeeded")
        tabs.get_by_role("link", name="Files").click()
        manifest = client.jobs.download(job.id, tmp_path / "artifact")  # checks each file against its SHA-256
        with page.expect_download() as download:
            page.get_by_role("link", name="sparsity_report.json").click()
        assert Path(download.value.path()).read_bytes() == (tmp_path / "artifact" / "sparsity_report.json").read_bytes()
        assert "model.safetensors" in {file.path for file in manifest.files}


def sign_in_at(opened: Opening, key: str) -> Page:
    """The overview, reached through the sign-in form."""
    page = opened("/", is_signed_in=False)
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    return page


def assert_complete(events: list[Event], blocks: int) -> None:
    """Each event once, in order, to the end of a job that succeeded."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type == "block_pruned"] == ["block_pruned"] * blocks
    assert events[-1].type == "succeeded"


def test_a_job_and_its_viewers_survive_restarts_of_service_pooler_and_proxy(
    deployment: Deployment, url: str, key: str, database: Database, opened: Opening, tmp_path: Path
) -> None:
    save_slow_model(deployment.settings)
    with (
        Client(url, key) as client,
        Client(url, key, patience=0) as impatient,
        client_of(url, key) as plain,
        ThreadPoolExecutor(2) as threads,
        dispatching(deployment.settings, tmp_path),
        working(deployment.of_workers, tmp_path) as worker,
    ):
        evaluation = {"perplexity": [], "sequence_length": 64}
        body = BODY | {"model": {"source": "local", "id": "slow"}, "calibration": LONG, "evaluation": evaluation}
        job = client.jobs.create(body)
        followed = threads.submit(lambda: list(client.jobs.events(job.id)))
        ended = threads.submit(follow_once, plain, job.id)
        page = opened(f"/jobs/{job.id}", excused="Failed to load resource")
        mark(page)
        wait_until_it_prunes(database, UUID(job.id))
        nginx.reload(deployment.proxy)
        deployment.pooler.stop()
        eventually(lambda: b"heartbeat_failed" in worker.log.read_bytes())
        deployment.pooler.start()
        assert not ended.result(CEILING_SECONDS)
        deployment.service.kill()
        with pytest.raises(ApiError, match="a proxy in front of the service gets no answer from it"):
            impatient.jobs.get(job.id)
        deployment.service.start()
        expect(page.locator("#status .headline")).to_contain_text("succeeded")
        assert_complete(followed.result(CEILING_SECONDS), blocks=10)
        assert is_unbroken(page)
        assert len(client.jobs.attempts(job.id)) == 1


def follow_once(plain: httpx.Client, job_id: str) -> bool:
    """Follow a job's events on one connection; return whether it saw their end."""
    try:
        with plain.stream("GET", f"v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}) as response:
            return "event: end" in response.iter_lines()
    except httpx.RemoteProtocolError:
        return False
