"""Log lines of jobs as pages and as a live stream."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func

from service.contract.logs import LogLevel
from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.jobs.attempts.repository import StaleFence
from service.jobs.attempts.transitions import finish
from service.jobs.events import repository as events
from service.jobs.logs import repository
from service.jobs.logs.operations import lines_after
from service.jobs.logs.repository import LineFilter
from tests.support.api_server import client, insert_job, key_for, problem, set_job
from tests.support.event_messages import STREAM, messages
from tests.support.log_rows import count_lines, texts_of, write_lines


@pytest.fixture
def job_id(database: Database) -> UUID:
    return insert_job(database, state=JobState.RUNNING)


def path_of(job_id: UUID) -> str:
    return f"/v1/jobs/{job_id}/logs"


def numbers(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [line["seq"] for line in response.json()["items"]]


def test_lines_are_paginated(api: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, *"abcde")
    first = api.get(path_of(job_id), params={"limit": 3}).json()
    assert ([line["text"] for line in first["items"]], first["next_cursor"]) == (["a", "b", "c"], "3")
    second = api.get(path_of(job_id), params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert ([line["seq"] for line in second["items"]], second["next_cursor"], second["last_seq"]) == ([4, 5], None, 5)
    later = api.get(path_of(job_id), params={"after": second["last_seq"]}).json()
    assert (later["items"], later["next_cursor"], later["last_seq"]) == ([], None, 5)


def test_a_line_shows_attempt_stage_level_text_and_time(api: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, "block_pruned block=3", attempt=2, level=LogLevel.WARNING)
    (line,) = api.get(path_of(job_id)).json()["items"]
    assert line.pop("created_at").endswith("Z")
    assert line == {"seq": 1, "attempt": 2, "stage": "pruning", "level": "warning", "text": "block_pruned block=3"}


def test_lines_are_filtered_by_attempt_and_minimum_level(api: httpx.Client, database: Database, job_id: UUID) -> None:
    for attempt in (1, 2):
        for level in (LogLevel.INFO, LogLevel.WARNING, LogLevel.ERROR):
            write_lines(database, job_id, f"{attempt} {level}", attempt=attempt, level=level)

    def found(**params: Any) -> list[int]:
        return numbers(api.get(path_of(job_id), params=params))

    assert found(attempt=2) == [4, 5, 6]
    assert found(level="warning") == [2, 3, 5, 6]
    assert found(level="warning", attempt=1) == [2, 3]
    assert found(level="critical") == found(attempt=3) == []
    assert found(level="warning", tail=2) == [5, 6]
    assert found(level="warning", tail=3, limit=1) == [3]
    assert found(tail=100) == [1, 2, 3, 4, 5, 6]
    assert found(tail=3, after=5) == [6]
    page = api.get(path_of(job_id), params={"level": "warning", "limit": 3}).json()
    assert found(level="warning", limit=3, cursor=page["next_cursor"], tail=1) == [6]
    nothing = lines_after(database, job_id, 0, tenant="acme", wanted=LineFilter(level=LogLevel.CRITICAL))
    assert (nothing.items, nothing.position) == ([], 6), "what was left out is not read again"


def test_writing_lines_leaves_the_version_of_the_job(api: httpx.Client, database: Database, job_id: UUID) -> None:
    before = api.get(f"/v1/jobs/{job_id}").headers["etag"]
    write_lines(database, job_id, "a")
    assert api.get(f"/v1/jobs/{job_id}").headers["etag"] == before


def test_a_stale_fence_writes_nothing(database: Database, job_id: UUID) -> None:
    lines = [repository.NewLine(20, None, "late", 104, 0.0)]
    with pytest.raises(StaleFence), database.begin() as session:
        repository.append(session, job_id, fence=7, attempt=1, lines=lines)
    assert texts_of(database, job_id) == []


def test_a_stream_sends_stored_and_live_lines_up_to_the_end(
    api: httpx.Client, database: Database, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.event_stream.POLL_SECONDS", 3600.0)  # only notifications wake the stream
    write_lines(database, job_id, "a", "b")
    with api.stream("GET", path_of(job_id), headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = messages(response)
        stored = [next(stream), next(stream)]
        write_lines(database, job_id, "c")
        live = next(stream)
        with database.begin() as session:
            finish(session, job_id, JobState.SUCCEEDED)
        (end,) = stream
    assert [message.id for message in (*stored, live)] == ["1", "2", "3"]
    assert live.data == api.get(path_of(job_id)).json()["items"][2]
    assert (live.event, end.event, end.data) == ("line", "end", {"state": "succeeded"})


def test_a_stream_is_filtered_and_begins_with_the_tail(api: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, *"abc", level=LogLevel.ERROR)
    write_lines(database, job_id, "d", attempt=2)
    with api.stream("GET", path_of(job_id), params={"level": "error", "tail": 2}, headers=STREAM) as response:
        stream = messages(response)
        assert [next(stream).id, next(stream).id] == ["2", "3"]
        write_lines(database, job_id, "e")
        write_lines(database, job_id, "f", level=LogLevel.CRITICAL)
        assert next(stream).data["text"] == "f"


def test_reconnecting_with_the_last_id_neither_skips_nor_repeats(api: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, *"abcdefgh")
    seen: list[str | None] = []
    for count in (3, 2, 3):
        headers = STREAM | ({"Last-Event-ID": str(seen[-1])} if seen else {})
        with api.stream("GET", path_of(job_id), params={"tail": 8}, headers=headers) as response:
            stream = messages(response)
            seen += [next(stream).id for _ in range(count)]
    assert seen == [str(number) for number in range(1, 9)]


def test_a_backlog_larger_than_one_read_arrives_completely(api: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, *(["x"] * 400))
    with database.begin() as session:
        finish(session, job_id, JobState.FAILED)
    with api.stream("GET", path_of(job_id), headers=STREAM) as response:
        assert [message.id for message in messages(response)] == [*map(str, range(1, 401)), None]


def test_lines_do_not_wake_event_streams(
    api: httpx.Client, database: Database, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.event_stream.POLL_SECONDS", 3600.0)
    reads: list[int] = []
    real = events.after

    def counted(*args: Any) -> Any:
        reads.append(1)
        return real(*args)

    monkeypatch.setattr(events, "after", counted)
    with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as watched:
        with api.stream("GET", path_of(job_id), headers=STREAM) as followed:
            stream = messages(followed)
            for number in range(20):
                write_lines(database, job_id, str(number))
                assert next(stream).data["text"] == str(number)
        with database.begin() as session:
            events.append(session, job_id, EventType.BLOCK_PRUNED)
        assert next(messages(watched)).event == "block_pruned"
    assert len(reads) <= 5, "the first page, the stream's start, a reconnected listener and the event"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("attempt=0", "attempt"),
        ("attempt=first", "attempt"),
        ("level=loud", "level"),
        ("level=20", "level"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("tail=0", "tail"),
        ("tail=1001", "tail"),
        ("tail=-5", "tail"),
        ("cursor=abc", "cursor"),
        ("after=-1", "after"),
        ("after=99999999999", "after"),
    ],
)
@pytest.mark.parametrize("headers", [{}, STREAM], ids=["page", "stream"])
def test_bad_parameters_are_named(api: httpx.Client, job_id: UUID, query: str, pointer: str, headers: dict[str, str]) -> None:
    assert problem(api.get(f"{path_of(job_id)}?{query}", headers=headers)) == (422, "invalid-input", [pointer])


@pytest.mark.parametrize("headers", [{}, STREAM, {"X-Tail": ""}], ids=["page", "stream", "tail"])
def test_another_tenant_s_and_a_deleted_job_s_log_does_not_exist(
    url: str, database: Database, job_id: UUID, headers: dict[str, str]
) -> None:
    write_lines(database, job_id, "a")
    query = {"tail": "1"} if "X-Tail" in headers else {}
    with client(url, key_for(database, Scope.ADMIN, tenant="other")) as other:
        assert problem(other.get(path_of(job_id), headers=headers, params=query))[:2] == (404, "not-found")
        assert other.get(path_of(uuid4()), headers=headers, params=query).status_code == 404
    set_job(database, job_id, state=JobState.FAILED, finished_at=func.now(), deleted_at=func.now())
    with client(url, key_for(database, Scope.ADMIN)) as ours:
        assert ours.get(path_of(job_id), headers=headers, params=query).status_code == 404


def test_reading_needs_the_scope_of_jobs(url: str, database: Database, job_id: UUID) -> None:
    for scope, status in ((Scope.JOBS_READ, 200), (Scope.ARTIFACTS_READ, 403)):
        with client(url, key_for(database, scope)) as caller:
            assert caller.get(path_of(job_id)).status_code == status
    with client(url, None) as nobody:
        assert nobody.get(path_of(job_id)).status_code == 401


def test_lines_are_deleted_with_their_job(database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, "a")
    other = insert_job(database, state=JobState.RUNNING)
    write_lines(database, other, "b")
    with database.begin() as session:
        session.delete(session.get_one(Job, job_id))
    assert count_lines(database) == 1
