"""A job's way through the processes, as a collector of traces and the logs tell it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from service.contract.scopes import Scope
from service.contract.states import JobState, Stage
from service.database.engine import Database
from service.embedded.processes import free_port
from service.settings import Settings
from tests.support.api_server import client, key_for
from tests.support.child_environment import environment
from tests.support.job_rows import SPEC, insert_job, job_row
from tests.support.processes import Worker, dispatching, working
from tests.support.servers import Api
from tests.support.tiny_model import save_model
from tests.support.trace_collector import Collector, Seen, collecting
from tests.support.waiting import eventually

CALLER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """To which all processes started meanwhile send."""
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found


@contextmanager
def stack(settings: Settings, folder: Path) -> Iterator[tuple[Api, Worker]]:
    save_model(settings.model_root / "tiny")
    api = Api(settings, folder)
    try:
        with dispatching(settings, folder), working(settings, folder) as worker:
            yield api, worker
    finally:
        api.stop()


def create(api: Api, database: Database) -> UUID:
    """As a caller who is being traced."""
    headers = {"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01", "X-Request-ID": "mine-1"}
    with client(api.url, key_for(database, Scope.ADMIN)) as caller:
        answer = caller.post("/v1/jobs", json=SPEC, headers=headers)
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])


def ended(database: Database, job_id: UUID) -> str:
    eventually(lambda: job_row(database, job_id).finished_at)
    return job_row(database, job_id).state


def test_a_trace_spans_the_callers_request_and_the_jobs_stages(
    settings: Settings, database: Database, collector: Collector, tmp_path: Path
) -> None:
    with stack(settings, tmp_path) as (api, worker):
        job_id = create(api, database)
        assert ended(database, job_id) == JobState.SUCCEEDED
        (attempt,) = eventually(lambda: collector.named("attempt"))
        (request,) = collector.named("POST /v1/jobs")
        (sent,) = eventually(lambda: [span for span in collector.spans if span.name.startswith("send ")])
        failing_attempt_names_stage_and_code(database, collector, attempt)
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    assert (request.service, request.trace, request.parent) == ("dsnot-service", *CALLER)
    assert (sent.service, sent.trace, sent.parent) == ("dsnot-dispatcher", request.trace, request.id)
    assert (attempt.service, attempt.parent) == ("dsnot-worker", "")
    assert attempt.trace != request.trace
    assert attempt.links == {"request": (request.trace, request.id), "message": (sent.trace, sent.id)}
    assert (attempt.attributes["job_id"], attempt.attributes["attempt"]) == (str(job_id), "1")
    stages = [span for span in collector.spans if span.parent == attempt.id]
    assert [span.name for span in stages] == [f"stage {stage}" for stage in Stage]
    assert {span.trace for span in stages} == {attempt.trace}
    assert {span.failed for span in [request, sent, attempt, *stages]} == {""}
    assert not [span for span in collector.spans if "livez" in span.name or "readyz" in span.name]
    claimed = next(line for line in lines if line["event"] == "job_claimed")
    assert (claimed["request_id"], claimed["trace_id"], claimed["span_id"]) == ("mine-1", attempt.trace, attempt.id)
    (succeeded,) = [line for line in lines if line["event"] == "job_succeeded"]
    assert (succeeded["request_id"], succeeded["trace_id"]) == ("mine-1", attempt.trace)


def failing_attempt_names_stage_and_code(database: Database, collector: Collector, earlier: Seen) -> None:
    assert ended(database, insert_job(database, model={"id": "nothing", "source": "local"})) == JobState.FAILED
    attempt = eventually(lambda: next((span for span in collector.named("attempt") if span.id != earlier.id), None))
    assert attempt
    (stage,) = [span for span in collector.spans if span.parent == attempt.id]
    assert (stage.name, stage.failed, attempt.failed) == ("stage resolving", "not finished", "model-not-found")


def test_an_unreachable_collector_delays_nothing(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with stack(settings, tmp_path) as (api, _):
        first, second = create(api, database), create(api, database)
        assert {ended(database, first), ended(database, second)} == {JobState.SUCCEEDED}


def test_a_collector_without_the_otel_extra_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    without = "import sys; sys.modules['opentelemetry.sdk.trace'] = None; from service.dispatcher.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "install dsnot[otel]" in done.stderr.splitlines()[-1]
