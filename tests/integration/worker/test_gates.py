"""Gates of real jobs: metrics, events, webhooks, and the page."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.contract.states import EventType
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.integration.worker.test_quality import EVALUATION, metrics_of
from tests.support.job_rows import event_types, events_of, insert_job, job_row
from tests.support.tiny_model import save_model
from tests.support.webhooks import create, deliveries
from worker.attempt.runner import work

PASSED = {"metric": "perplexity", "dataset": "wiki-sample:test", "at_most": 1e9}
MISSED = {"metric": "perplexity", "at_most": 1.0}


@pytest.fixture(autouse=True)
def model(settings: Settings) -> Path:
    return save_model(settings.model_root / "tiny")


def done(settings: Settings, database: Database, require: Sequence[dict[str, Any]]) -> Job:
    evaluation = EVALUATION | {"require": list(require)}
    job_id = insert_job(database, model={"source": "local", "id": "tiny"}, evaluation=evaluation)
    with database.begin() as session:
        session.execute(update(Job).values(tenant="acme"))
    assert work(settings, threading.Event())
    return job_row(database, job_id)


def outcomes(job: Job) -> list[bool]:
    return [gate["passed"] for gate in metrics_of(job)["gates"]]


def test_a_job_that_misses_a_gate_succeeds_and_says_so(
    settings: Settings, database: Database, api: httpx.Client, visitor: httpx.Client
) -> None:
    webhook = create(api, events=["job.gate_failed", "job.succeeded"])
    job = done(settings, database, [PASSED, MISSED])
    assert outcomes(job) == [True, False]
    [pruned] = metrics_of(job)["pruned"]["perplexity"]
    assert [gate["value"] for gate in metrics_of(job)["gates"]] == [pruned["ci95"][1]] * 2
    assert event_types(database, job.id)[-2:] == [EventType.GATE_FAILED, EventType.SUCCEEDED]
    told = next(event for event in events_of(database, job.id) if event.type == EventType.GATE_FAILED)
    assert told.data["gates"] == metrics_of(job)["gates"][1:]
    seen = api.get(f"/v1/jobs/{job.id}").json()
    assert (seen["state"], seen["gates_passed"]) == ("succeeded", False)
    assert api.get(f"/v1/jobs/{job.id}/artifacts").json()["files"]
    assert {each["type"] for each in deliveries(api, webhook)} == {"job.gate_failed", "job.succeeded"}
    page = visitor.get(f"/jobs/{job.id}").text
    assert 'class="gate missed"' in page
    assert "missed: perplexity on wiki-sample:test at most 1 (up to " in page


@pytest.mark.parametrize(("require", "passed"), [([PASSED], True), ([], None)])
def test_without_a_missed_gate_there_is_no_event(
    settings: Settings, database: Database, api: httpx.Client, require: Sequence[dict[str, Any]], passed: bool | None
) -> None:
    job = done(settings, database, require)
    assert EventType.GATE_FAILED not in event_types(database, job.id)
    assert api.get(f"/v1/jobs/{job.id}").json()["gates_passed"] is passed
