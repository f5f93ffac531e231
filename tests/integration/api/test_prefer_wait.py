"""`Prefer: wait=n`: the answer comes when the job has ended, and nobody else waits for it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.jobs import repository as jobs
from service.jobs.attempts.transitions import finish
from service.jobs.events import repository as events
from service.jobs.events.wakeups import happens
from service.settings import Settings
from service.web import prefer_wait as waiting_code
from tests.support.api_server import BODY, client, insert_job, key_for, problem, serving
from tests.support.job_rows import break_connections
from tests.support.processes import answering
from tests.support.waiting import CEILING_SECONDS, eventually


def prefer(seconds: int) -> dict[str, str]:
    return {"Prefer": f"wait={seconds}"}


def end(database: Database, job_id: UUID) -> None:
    with database.begin() as session:
        finish(session, job_id, JobState.SUCCEEDED)


def in_thread(act: Callable[[], httpx.Response]) -> "Future[httpx.Response]":
    thread = ThreadPoolExecutor(1)
    running = thread.submit(act)
    thread.shutdown(wait=False)
    return running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list that grows whenever a request begins to wait; a request that no notification wakes is answered with 500."""
    monkeypatch.setattr(waiting_code, "_POLL_SECONDS", 3600.0)
    begun: list[float] = []

    async def noted(woken: asyncio.Event, seconds: float) -> bool:
        begun.append(seconds)
        assert await happens(woken, seconds), "nothing woke the request"
        return True

    monkeypatch.setattr(waiting_code, "happens", noted)
    return begun


def test_the_response_arrives_when_the_job_ends(api: httpx.Client, database: Database, pauses: list[float]) -> None:
    job_id = insert_job(database, state=JobState.RUNNING)
    waiting = in_thread(lambda: api.get(f"/v1/jobs/{job_id}", headers=prefer(50)))
    eventually(lambda: pauses)
    with database.begin() as session:
        events.append(session, job_id, EventType.BLOCK_PRUNED)
    eventually(lambda: len(pauses) > 1)
    assert not waiting.done(), "other news of the job is no end"
    end(database, job_id)
    answer = waiting.result(CEILING_SECONDS)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert (answer.headers["preference-applied"], answer.headers["vary"]) == ("wait=50", "Prefer")
    assert answer.headers["etag"] == api.get(f"/v1/jobs/{job_id}").headers["etag"]


def test_the_response_arrives_after_the_seconds_at_most(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database)
    began = time.monotonic()
    answer = api.get(f"/v1/jobs/{job_id}", headers=prefer(1))
    assert time.monotonic() - began >= 1
    assert (answer.json()["state"], answer.headers["preference-applied"]) == ("queued", "wait=1")


def test_a_finished_job_is_returned_at_once(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.FAILED)
    assert api.get(f"/v1/jobs/{job_id}", headers=prefer(999)).headers["preference-applied"] == "wait=60"


@pytest.mark.parametrize("value", ["wait", "wait=", "wait=x", "wait=-1", "wait=1.5", "wait=²", "respond-async", "x=1, wait", ""])
def test_unsupported_preferences_are_ignored(api: httpx.Client, database: Database, value: str) -> None:
    answer = api.get(f"/v1/jobs/{insert_job(database)}", headers=[(b"Prefer", value.encode())])
    assert (answer.status_code, answer.headers["vary"]) == (200, "Prefer")
    assert "preference-applied" not in answer.headers


def test_a_creation_and_its_idempotent_repeat_can_wait(api: httpx.Client, database: Database, pauses: list[float]) -> None:
    keyed = {"Idempotency-Key": "k"}
    waiting = in_thread(lambda: api.post("/v1/jobs", json=BODY, headers=keyed | prefer(50)))
    eventually(lambda: pauses)
    again = in_thread(lambda: api.post("/v1/jobs", json=BODY, headers=keyed | prefer(50)))
    eventually(lambda: len(pauses) > 1)
    found = api.get("/v1/jobs").json()["items"]
    api.post(f"/v1/jobs/{found[0]['id']}/cancel")
    first, second = waiting.result(CEILING_SECONDS), again.result(CEILING_SECONDS)
    assert (first.status_code, first.json()["state"]) == (201, "cancelled")
    assert (second.status_code, second.json()) == (201, first.json())
    for answer in (first, second):
        assert answer.headers["location"] == f"/v1/jobs/{found[0]['id']}"
        assert (answer.headers["preference-applied"], answer.headers["vary"]) == ("wait=50", "Prefer")
        assert answer.headers["etag"] == api.get(answer.headers["location"]).headers["etag"]
    assert ("idempotency-replayed" in first.headers, second.headers["idempotency-replayed"]) == (False, "true")
    plain = api.post("/v1/jobs", json=BODY, headers=keyed)
    assert (plain.json()["state"], "preference-applied" in plain.headers) == ("queued", False)


def test_a_deletion_during_the_wait_gives_404_or_the_created_job(
    api: httpx.Client, database: Database, pauses: list[float]
) -> None:
    made = api.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": "k"})
    path = made.headers["location"]
    waiting = in_thread(lambda: api.get(path, headers=prefer(50)))
    eventually(lambda: pauses)
    with database.begin() as session:
        jobs.mark_deleted(session, UUID(made.json()["id"]))
        events.append(session, UUID(made.json()["id"]), EventType.CANCELLED)
    assert problem(waiting.result(CEILING_SECONDS))[:2] == (404, "not-found")
    again = api.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": "k"} | prefer(50))
    assert (again.status_code, again.content) == (201, made.content)


def test_another_tenants_job_is_not_waited_for(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, tenant="other")
    assert api.get(f"/v1/jobs/{job_id}", headers=prefer(60)).status_code == 404


def test_after_the_wait_an_etag_match_gives_not_modified(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.RUNNING)
    path = f"/v1/jobs/{job_id}"
    known = {"If-None-Match": api.get(path).headers["etag"]}
    same = api.get(path, headers=known | prefer(1))
    assert (same.status_code, same.content, same.headers["preference-applied"]) == (304, b"", "wait=1")
    assert (same.headers["etag"], same.headers["vary"]) == (known["If-None-Match"], "Prefer")
    waiting = in_thread(lambda: api.get(path, headers=known | prefer(50)))
    end(database, job_id)
    assert waiting.result(CEILING_SECONDS).json()["state"] == "succeeded"


@asynccontextmanager
async def many(url: str, key: str, job_id: UUID, count: int) -> "AsyncIterator[list[asyncio.Task[httpx.Response]]]":
    """So many requests that want to wait for the job."""
    headers = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=CEILING_SECONDS, limits=limits) as opened:
        waiting = [asyncio.create_task(opened.get(f"/v1/jobs/{job_id}", headers=prefer(60))) for _ in range(count)]
        yield waiting
        await asyncio.gather(*waiting)


def test_two_hundred_waiting_requests_block_no_other(settings: Settings, database: Database, pauses: list[float]) -> None:
    job_id, key = insert_job(database, state=JobState.RUNNING), key_for(database, Scope.ADMIN)

    async def check(url: str) -> list[httpx.Response]:
        async with many(url, key, job_id, 200) as waiting:
            await asyncio.to_thread(eventually, lambda: len(pauses) >= 200)
            answers = await asyncio.to_thread(lambda: [others.get("/v1/jobs") for _ in range(5)])
            assert {answer.status_code for answer in answers} == {200}
            assert not any(task.done() for task in waiting), "though they are more than there are threads"
            await asyncio.to_thread(end, database, job_id)
            return list(await asyncio.gather(*waiting))

    with serving(settings) as url, client(url, key) as others:
        answers = asyncio.run(check(url))
    assert {(answer.status_code, answer.json()["state"]) for answer in answers} == {(200, "succeeded")}


def test_requests_over_the_waiting_limit_are_answered_at_once(settings: Settings, database: Database) -> None:
    path = f"/v1/jobs/{insert_job(database)}"
    with (
        serving(settings.model_copy(update={"max_event_streams": 1})) as url,
        client(url, key_for(database, Scope.ADMIN)) as api,
        api.stream("GET", f"{path}/events", headers={"Accept": "text/event-stream"}),
    ):
        answer = api.get(path, headers=prefer(50))
        assert (answer.status_code, "preference-applied" in answer.headers) == (200, False)
        made = api.post("/v1/jobs", json=BODY, headers=prefer(50))
        assert (made.status_code, "preference-applied" in made.headers) == (201, False)


def test_a_wait_survives_the_loss_of_all_database_connections(api: httpx.Client, database: Database, pauses: list[float]) -> None:
    job_id = insert_job(database, state=JobState.RUNNING)
    waiting = in_thread(lambda: api.get(f"/v1/jobs/{job_id}", headers=prefer(50)))
    eventually(lambda: pauses)
    break_connections(database)
    end(database, job_id)
    assert waiting.result(CEILING_SECONDS).json()["state"] == "succeeded"


def test_a_service_that_stops_answers_waiting_requests(settings: Settings, database: Database, tmp_path: Path) -> None:
    with answering(settings, tmp_path, key_for(database, Scope.ADMIN)) as (process, api):
        waiting = in_thread(lambda: api.post("/v1/jobs", json=BODY, headers=prefer(60)))
        eventually(lambda: api.get("/v1/jobs").json()["items"])
        assert not waiting.done()
        process.send_signal(signal.SIGTERM)
        answer = waiting.result(CEILING_SECONDS)
        assert (answer.status_code, answer.json()["state"]) == (201, "queued")
        assert "preference-applied" not in answer.headers
        assert process.wait(CEILING_SECONDS) in (0, -signal.SIGTERM)
