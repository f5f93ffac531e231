"""Events as pages and as a live stream."""

import json
import signal
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.jobs.attempts.transitions import finish
from service.jobs.events import repository
from service.settings import Settings
from tests.support.api_server import client, insert_job, key_for, serving
from tests.support.event_messages import STREAM, messages
from tests.support.processes import answering
from tests.support.waiting import CEILING_SECONDS, eventually


def append(database: Database, job_id: UUID, count: int = 1) -> None:
    for _ in range(count):
        with database.begin() as session:
            repository.append(session, job_id, EventType.BLOCK_PRUNED, {"block": 0})


def succeed(database: Database, job_id: UUID) -> None:
    with database.begin() as session:
        finish(session, job_id, JobState.SUCCEEDED)


def test_events_are_paginated(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database)
    append(database, job_id, 5)
    path = f"/v1/jobs/{job_id}/events"
    first = api.get(path, params={"limit": 3}).json()
    assert ([event["seq"] for event in first["items"]], first["next_cursor"]) == ([1, 2, 3], "3")
    second = api.get(path, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert ([event["seq"] for event in second["items"]], second["next_cursor"], second["last_seq"]) == ([4, 5], None, 5)
    later = api.get(path, params={"after": second["last_seq"]}).json()
    assert (later["items"], later["next_cursor"], later["last_seq"]) == ([], None, 5)


def test_a_stream_ends_when_its_job_is_deleted(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.QUEUED)
    append(database, job_id)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        received = messages(response)
        assert next(received).id == "1"
        with database.begin() as session:  # at once, so that the stream never sees the end
            job = session.get_one(Job, job_id)
            job.state = JobState.CANCELLED
            job.deleted_at = func.now()
        append(database, job_id)
        assert list(received) == []
    assert api.get(f"/v1/jobs/{job_id}/events", headers=STREAM).status_code == 404


def test_a_stream_sends_past_and_live_events_up_to_the_end(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.event_stream.POLL_SECONDS", 3600.0)  # only notifications wake the stream
    job_id = insert_job(database, state=JobState.RUNNING)
    append(database, job_id, 2)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = messages(response)
        stored = [next(stream), next(stream)]
        append(database, job_id)
        live = next(stream)
        succeed(database, job_id)
        rest = list(stream)
    assert [message.id for message in (*stored, live)] == ["1", "2", "3"]
    assert live.data == api.get(f"/v1/jobs/{job_id}/events").json()["items"][2]
    assert [message.event for message in (live, *rest)] == ["block_pruned", "succeeded", "end"]
    assert rest[-1].data == {"state": "succeeded"}


def test_reconnecting_with_the_last_id_neither_skips_nor_repeats(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.RUNNING)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            append(database, job_id)
        succeed(database, job_id)

    worker = threading.Thread(target=work)
    worker.start()
    seen: list[int] = []
    ended = False
    for connection in range(8):
        headers = STREAM | ({"Last-Event-ID": str(seen[-1])} if seen else {})
        with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
            for count, message in enumerate(messages(response), 1):
                if message.event == "end":
                    ended = True
                    break
                seen.append(int(message.id or 0))
                if connection < 7 and count == 7:
                    break
                stop.set() if connection == 7 else None
    worker.join()
    assert ended
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == len(api.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["items"])


def test_a_backlog_larger_than_one_read_arrives_completely(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.RUNNING)
    with database.begin() as session:
        for _ in range(450):
            repository.append(session, job_id, EventType.BLOCK_PRUNED)
    succeed(database, job_id)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        assert [message.id for message in messages(response)] == [str(n) for n in range(1, 452)] + [None]


def test_the_stream_of_a_finished_job_ends_at_once(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database)
    with database.begin() as session:
        finish(session, job_id, JobState.CANCELLED)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM | {"Last-Event-ID": "1"}) as response:
        assert [message.event for message in messages(response)] == ["end"]


def test_streams_wake_for_their_own_job_and_share_one_connection(api: httpx.Client, database: Database) -> None:
    jobs = [insert_job(database, state=JobState.RUNNING) for _ in range(5)]
    open_streams: list[UUID] = []
    first: dict[UUID, Any] = {}

    def watch(job_id: UUID) -> None:
        with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
            open_streams.append(job_id)
            first[job_id] = next(messages(response)).data["data"]

    watchers = [threading.Thread(target=watch, args=(job_id,)) for job_id in jobs]
    for watcher in watchers:
        watcher.start()
    eventually(lambda: len(open_streams) == len(jobs) and _listeners(database))
    assert len(_listeners(database)) == 1
    for number, job_id in enumerate(jobs):
        with database.begin() as session:
            repository.append(session, job_id, EventType.BLOCK_PRUNED, {"block": number})
    for watcher in watchers:
        watcher.join(CEILING_SECONDS)
    assert first == {job_id: {"block": number} for number, job_id in enumerate(jobs)}


def _listeners(database: Database) -> list[int]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'")
        return [pid for (pid,) in found]


def test_a_stream_survives_the_loss_of_the_listener_connection(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.RUNNING)
    append(database, job_id)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        stream = messages(response)
        assert next(stream).id == "1"
        with database.engine.begin() as connection:
            for pid in _listeners(database):
                connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
        append(database, job_id)
        assert next(stream).id == "2"
        succeed(database, job_id)
        assert [message.event for message in stream] == ["succeeded", "end"]


def test_an_idle_stream_sends_comments(api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.event_stream.KEEPALIVE_SECONDS", 0.1)
    job_id = insert_job(database)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        lines = response.iter_lines()
        assert [next(lines)[:1], next(lines), next(lines)[:1]] == [":", "", ":"]


def test_a_tenant_s_streams_are_limited_and_closing_one_frees_a_slot(settings: Settings, database: Database) -> None:
    job_id = insert_job(database)
    append(database, job_id)
    path = f"/v1/jobs/{job_id}/events"
    with serving(settings.model_copy(update={"max_event_streams": 3})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        with api.stream("GET", path, headers=STREAM) as one, api.stream("GET", path, headers=STREAM) as two:
            assert (one.status_code, two.status_code) == (200, 200)
            refused = api.get(path, headers=STREAM)
            assert (refused.status_code, refused.json()["code"]) == (429, "share-exceeded")
            assert int(refused.headers["retry-after"]) > 0
            assert api.get(path).status_code == 200, "pages are not streams"
            other = {"Authorization": f"Bearer {key_for(database, Scope.ADMIN, tenant='other')}"}
            theirs = insert_job(database, tenant="other")
            with api.stream("GET", f"/v1/jobs/{theirs}/events", headers=STREAM | other) as third:
                assert third.status_code == 200, "one tenant leaves slots to others"
            assert api.get(f"/v1/jobs/{UUID(int=0)}/events", headers={"Authorization": "", **STREAM}).status_code == 401
        eventually(lambda: opened(api, path) == 200)


def opened(api: httpx.Client, path: str) -> int:
    with api.stream("GET", path, headers=STREAM) as response:
        return response.status_code


def test_a_service_that_stops_closes_its_streams(settings: Settings, database: Database, tmp_path: Path) -> None:
    job_id = insert_job(database)
    append(database, job_id)
    with answering(settings, tmp_path, key_for(database, Scope.ADMIN)) as (process, api):
        with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
            stream = messages(response)
            assert next(stream).id == "1"
            process.send_signal(signal.SIGTERM)
            assert list(stream) == [], "the stream is complete as HTTP but says no `end`"
        assert process.wait(CEILING_SECONDS) in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in (tmp_path / "service.log").read_text().splitlines()]
    assert [line for line in lines if line["level"] not in ("info", "debug")] == []
