"""What a chat service receives, from real jobs and sweeps through a real dispatcher."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from service.contract.states import EventType, JobState
from service.contract.webhooks import WebhookEvent
from service.database.engine import Database
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support.api_server import insert_job, set_job
from tests.support.dashboard_jobs import HOSTILE, METRICS
from tests.support.processes import dispatching
from tests.support.sweep_points import GRID, SEARCH, end_job, run_to_end
from tests.support.threads import dispatcher_threads
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Sink, receiving
from tests.support.webhooks import create, deliveries

PUBLIC = "https://host/dsnot"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """For development: receivers may be on this machine."""
    changes = {"webhooks_may_be_local": True, "webhook_retry_seconds": (0.3,), "webhook_seconds": 2.0, "public_url": PUBLIC}
    return settings.model_copy(update=changes)


@pytest.fixture
def dispatcher(settings: Settings) -> Iterator[None]:
    with dispatcher_threads(settings):
        yield


@pytest.fixture
def sink() -> Iterator[Sink]:
    with receiving() as found:
        yield found


def chat(api: httpx.Client, sink: Sink, *kinds: WebhookEvent) -> dict[str, Any]:
    """A webhook for chat messages about these events, by default the usual ones."""
    return create(api, url=sink.url, format="slack", **({"events": kinds} if kinds else {}))


def texts(api: httpx.Client, made: dict[str, Any], sink: Sink) -> dict[str, str]:
    """The messages by event once all are delivered; of several about one event, the last."""
    eventually(lambda: not deliveries(api, made, state="pending", limit=100))
    kinds = {each["id"]: each["type"] for each in deliveries(api, made, limit=100)}
    return {kinds[got.id]: json.loads(got.body)["text"] for got in sink.got}


@pytest.mark.usefixtures("dispatcher")
def test_every_event_of_a_job_is_a_message(api: httpx.Client, database: Database, sink: Sink) -> None:
    kinds = [each for each in WebhookEvent if each.startswith("job.")]
    made = chat(api, sink, *kinds)
    job = insert_job(database, state=JobState.SUCCEEDED, metrics=METRICS, name="first try")
    with database.begin() as session:
        for kind in kinds:
            events.append(session, job, EventType(kind.removeprefix("job.")))
    found = texts(api, made, sink)
    assert found.keys() == set(kinds)
    for name, text in found.items():
        assert text.startswith(f"*{name.replace('.', ' ').replace('_', ' ').capitalize()}*: `first try` (`facebook/opt-125m`)\n")
        assert "*Severe loss*: perplexity 14.45 → 25.45 on `wiki-sample`, × 1.76" in text
        assert text.endswith(f"<{PUBLIC}/jobs/{job}|open>")


@pytest.mark.usefixtures("dispatcher")
def test_a_message_is_plain_json_and_signed_and_the_test_message_too(api: httpx.Client, sink: Sink) -> None:
    made = chat(api, sink)
    api.post(f"/v1/webhooks/{made['id']}/test")
    text = texts(api, made, sink)["webhook.test"]
    (got,) = sink.got
    assert got.headers["content-type"] == "application/json; charset=utf-8"
    assert Verifier(made["secret"]).verify(got.body, got.headers) == {"text": text}
    assert text == f"*Webhook test*: messages arrive here\n<{PUBLIC}/webhooks/{made['id']}|open>"


@pytest.mark.usefixtures("dispatcher")
def test_hostile_names_and_errors_are_escaped(api: httpx.Client, database: Database, sink: Sink) -> None:
    made = chat(api, sink)
    error = {"code": "internal", "detail": f"<!channel> @everyone `*x*`\n{HOSTILE}", "retryable": True}
    with database.begin() as session:
        job = insert_job(database, state=JobState.FAILED, name="<https://evil.example|open> & @here", error=error)
        events.append(session, job, EventType.FAILED)
    text = texts(api, made, sink)["job.failed"]
    head, _, failure, link = text.split("\n")
    assert head == "*Job failed*: `&lt;https://evil.example|open&gt; &amp; @\u200bhere` (`facebook/opt-125m`)"
    assert failure.startswith("`internal`: `&lt;!channel&gt; @\u200beveryone '*x*' &lt;script&gt;")
    assert (text.count("<"), link) == (1, f"<{PUBLIC}/jobs/{job}|open>")


def test_a_retry_and_a_replay_send_the_same_message_and_no_log_has_the_url(
    api: httpx.Client, settings: Settings, database: Database, sink: Sink, tmp_path: Path
) -> None:
    sink.status = 404
    sink.url += "/services/T00000000/B00000000/a-path-that-authorises"
    made = chat(api, sink)
    job = insert_job(database, state=JobState.RUNNING, name="before")
    with dispatching(settings, tmp_path):
        with database.begin() as session:
            events.append(session, job, EventType.CANCELLED)
        eventually(lambda: sink.got)
        set_job(database, job, name="after")
        eventually(lambda: deliveries(api, made, state="failed"))
        sink.status = 200
        (delivery,) = deliveries(api, made)
        path = f"/v1/webhooks/{made['id']}/deliveries/{delivery['id']}"
        assert api.post(f"{path}/replay").status_code == 202
        eventually(lambda: deliveries(api, made, state="delivered"))
    bodies = [got.body.decode() for got in sink.got]
    assert bodies == [api.get(path).json()["body"]] * 3
    assert "`before`" in bodies[0]
    log = (tmp_path / "dispatcher.log").read_text()
    assert "webhook" in log
    assert "authorises" not in log


@pytest.mark.parametrize("body", [GRID, SEARCH], ids=["axes", "search"])
@pytest.mark.usefixtures("dispatcher")
def test_a_finished_sweep_has_its_points_and_its_best(
    api: httpx.Client, settings: Settings, database: Database, sink: Sink, body: dict[str, Any]
) -> None:
    made = chat(api, sink, WebhookEvent.SWEEP_CREATED, WebhookEvent.SWEEP_POINT_ENDED, WebhookEvent.SWEEP_FINISHED)
    sweep = api.post("/v1/sweeps", json=body).json()
    ended = run_to_end(api, database, settings, sweep["id"])
    found = texts(api, made, sink)
    assert found["sweep.created"].startswith("*Sweep created*: ")
    assert any(f"\n`{each['text']}`: succeeded\n" in found["sweep.point_ended"] for each in ended["table"])
    _, points, what, verdict, link = found["sweep.finished"].split("\n")
    assert (points, link) == (f"{ended['points']} points: {ended['points']} succeeded", f"<{PUBLIC}/sweeps/{sweep['id']}|open>")
    ratios = {each["text"]: each["figures"]["perplexity:wiki-sample:test"]["value"] / 12 for each in ended["table"]}
    if body is GRID:
        best = min(ratios, key=lambda each: ratios[each])
        assert what == f"Least loss: `{best}`"
    else:
        best = next(each["text"] for each in ended["table"] if each["position"] == ended["search"]["answer"]["position"])
        assert what == ended["search"]["text"]
    assert f"× {ratios[best]:#.3g} " in verdict


@pytest.mark.parametrize("end", ["failed", "cancelled"])
@pytest.mark.usefixtures("dispatcher")
def test_an_unsuccessful_sweep_counts_its_points(
    api: httpx.Client, settings: Settings, database: Database, sink: Sink, end: str
) -> None:
    made = chat(api, sink, WebhookEvent(f"sweep.{end}"))
    sweep = api.post("/v1/sweeps", json=GRID | {"name": "<!channel> @all", "axes": {"/recipe/preset": ["fast", "best"]}}).json()
    if end == "failed":
        end_job(database, UUID(sweep["table"][0]["job_id"]), state=JobState.FAILED)
    else:
        api.post(f"/v1/sweeps/{sweep['id']}/cancel")
    run_to_end(api, database, settings, sweep["id"])
    head, points, *_ = texts(api, made, sink)[f"sweep.{end}"].split("\n")
    assert head.startswith(f"*Sweep {end}*: `&lt;!channel&gt; @\u200ball` (")
    assert set(points.removeprefix("2 points: ").split(", ")) == (
        {"1 failed", "1 succeeded"} if end == "failed" else {"2 cancelled"}
    )
