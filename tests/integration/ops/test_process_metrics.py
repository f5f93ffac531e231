"""What dispatcher and worker tell Prometheus."""

import socket
from pathlib import Path
from uuid import UUID

import pytest

from service.contract.states import JobState
from service.database.engine import Database
from service.embedded.processes import free_port
from service.settings import Settings
from tests.support import fork_server
from tests.support.child_environment import environment
from tests.support.job_rows import insert_job, job_row
from tests.support.metrics_scrape import Scrape
from tests.support.processes import dispatching, working
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually


def at_port(settings: Settings) -> tuple[Settings, str]:
    """The settings with a port for metrics, and its address."""
    port = free_port()
    return settings.model_copy(update={"metrics_port": port}), f"http://127.0.0.1:{port}/metrics"


def finished(database: Database, job_id: UUID) -> str:
    eventually(lambda: job_row(database, job_id).finished_at)
    return job_row(database, job_id).state


def test_dispatcher_and_worker_sum_metrics_over_their_children(settings: Settings, database: Database, tmp_path: Path) -> None:
    save_model(settings.model_root / "tiny")
    sending, dispatcher_url = at_port(settings)
    taking, worker_url = at_port(settings)
    with dispatching(sending, tmp_path), working(taking, tmp_path):
        first = Scrape(worker_url)
        assert first.value("dsnot_attempts_ended_total", outcome="succeeded") == 0
        assert first.value("dsnot_worker_cache_free_bytes") > 0  # type: ignore[operator]
        assert first.value("dsnot_worker_memory_bytes") > 1e8  # type: ignore[operator]
        assert "dsnot_worker_info" in first.names
        for _ in range(2):  # each has a child of its own
            assert finished(database, insert_job(database)) == JobState.SUCCEEDED
        broken = insert_job(database, model={"id": "nothing", "source": "local"})
        assert finished(database, broken) == JobState.FAILED
        eventually(lambda: Scrape(worker_url).value("dsnot_attempts_ended_total", outcome="failed") == 1)
        seen = Scrape(worker_url)
        assert seen.value("dsnot_attempts_ended_total", outcome="succeeded") == 2
        assert seen.value("dsnot_failures_total", code="model-not-found") == 1
        assert seen.value("dsnot_stage_seconds_count", stage="publishing") == 2
        assert seen.value("dsnot_stage_seconds_count", stage="resolving") == 2
        assert seen.value("dsnot_blocks_total", origin="pruned") == 4
        assert seen.value("dsnot_uploaded_bytes_total") > 1e5  # type: ignore[operator]
        assert seen.value("dsnot_last_job_peak_memory_bytes", place="host_total") > 1e8  # type: ignore[operator]
        sent = Scrape(dispatcher_url)
        assert sent.value("dsnot_messages_sent_total") >= 3  # type: ignore[operator]
        assert sent.value("dsnot_broker_up") == 1
        assert sent.value("dsnot_timeouts_applied_total", rule="lease_expired") == 0


@pytest.mark.parametrize("module", ["service.dispatcher", "worker"])
def test_a_port_in_use_is_named_at_startup(module: str, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = fork_server.run([module], environment(settings.model_copy(update={"metrics_port": port})))
    assert done.returncode == 1
    assert f"DSNOT_METRICS_PORT: cannot listen at 127.0.0.1:{port}" in done.stderr.splitlines()[-1]
