"""Progress in event streams, and what streams cost the database."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from service.client import Client, Event, StageProgress
from service.contract.messages import PROGRESS_CHANNEL
from service.contract.states import EventType, JobState, Stage
from service.database.engine import Database
from service.jobs.attempts import repository
from service.jobs.attempts.repository import StaleFence
from service.jobs.events import repository as events
from tests.support.api_server import insert_job, problem, set_job
from tests.support.event_messages import STREAM, Message, messages
from tests.support.restricted_role import restricted_role
from tests.support.statements import recorded_statements

WATCHERS: Final = 20
CODE: Final = "service.api.event_stream"
REPORT: Final[dict[str, Any]] = {"done": 3, "total": 30, "unit": "blocks", "eta_seconds": 54.2, "matrices_done": 2}


@pytest.fixture(autouse=True)
def unpolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only notifications wake the streams."""
    monkeypatch.setattr(f"{CODE}.POLL_SECONDS", 3600.0)


@pytest.fixture
def job_id(database: Database) -> UUID:
    return insert_job(database, state=JobState.RUNNING, stage=Stage.PRUNING)


def report(database: Database, job_id: UUID, *dones: int, fence: int = 0) -> None:
    """Report the progress as a worker does; several reports in one transaction, so that they arrive together."""
    with database.begin() as session:
        for done in dones:
            repository.progress(session, job_id, fence, REPORT | {"done": done})


def append(database: Database, job_id: UUID) -> None:
    with database.begin() as session:
        events.append(session, job_id, EventType.EVALUATED)


@contextmanager
def watching(
    api: httpx.Client, database: Database, job_id: UUID, count: int = 1, **query: Any
) -> Iterator[list[Iterator[Message]]]:
    """Open streams that have received an event by notification and are idle again."""
    with ExitStack() as opened:
        path = f"/v1/jobs/{job_id}/events"
        streams = [messages(opened.enter_context(api.stream("GET", path, headers=STREAM, params=query))) for _ in range(count)]
        append(database, job_id)
        assert [next(stream).event for stream in streams] == ["evaluated"] * count
        yield streams


def test_idle_streams_do_not_read(api: httpx.Client, database: Database, job_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{CODE}.KEEPALIVE_SECONDS", 0.05)
    append(database, job_id)
    with ExitStack() as opened:
        path = f"/v1/jobs/{job_id}/events"
        lines = [opened.enter_context(api.stream("GET", path, headers=STREAM)).iter_lines() for _ in range(WATCHERS)]
        for each in lines:
            take_comments(each, 3)  # also behind the wake-up when the listener connects
        append(database, job_id)
        for each in lines:
            assert next(line for line in each if line == "id: 2")
            take_comments(each, 1)
        with recorded_statements() as executed:
            for each in lines:
                take_comments(each, 5)
    assert executed == []


def take_comments(lines: Iterator[str], count: int) -> None:
    for _ in range(count):
        next(line for line in lines if line.startswith(":"))


def test_a_report_reaches_every_stream_without_a_read(api: httpx.Client, database: Database, job_id: UUID) -> None:
    with watching(api, database, job_id, WATCHERS, progress="true") as streams:
        with recorded_statements() as executed:
            report(database, job_id, 3)
            received = [next(stream) for stream in streams]
        assert [statement.sql.split()[0] for statement in executed] == ["UPDATE"]
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert received == [Message("progress", None, job["progress"] | {"stage": job["stage"]})] * WATCHERS


def test_the_client_yields_events_and_reports(api: httpx.Client, database: Database, job_id: UUID) -> None:
    key = api.headers["authorization"].removeprefix("Bearer ")
    with Client(str(api.base_url), key) as client, closing(client.jobs.live(str(job_id))) as stream:
        append(database, job_id)
        assert isinstance(next(stream), Event)
        report(database, job_id, 3)
        received = next(stream)
        assert isinstance(received, StageProgress)
        assert received.model_dump(exclude_none=True) == REPORT | {"stage": "pruning"}
        set_job(database, job_id, state=JobState.SUCCEEDED, stage=None)
        append(database, job_id)
        assert [type(each) for each in stream] == [Event]


@pytest.mark.parametrize("query", [{}, {"progress": "false"}])
def test_progress_is_sent_on_request_only(api: httpx.Client, database: Database, job_id: UUID, query: dict[str, Any]) -> None:
    with watching(api, database, job_id, **query) as [stream]:
        report(database, job_id, 3)
        append(database, job_id)
        assert next(stream).id == "2"


def test_a_page_of_events_has_no_progress(api: httpx.Client, database: Database, job_id: UUID) -> None:
    append(database, job_id)
    report(database, job_id, 3)
    path = f"/v1/jobs/{job_id}/events"
    assert api.get(path, params={"progress": "true"}).json() == api.get(path).json()


def test_only_the_latest_report_is_sent(api: httpx.Client, database: Database, job_id: UUID) -> None:
    with watching(api, database, job_id, progress="true") as [stream]:
        report(database, job_id, 3, 4, 5)
        assert next(stream).data["done"] == 5


def test_reports_are_sent_at_an_interval(
    api: httpx.Client, database: Database, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{CODE}.PROGRESS_SECONDS", 3600.0)
    with watching(api, database, job_id, progress="true") as [stream]:
        report(database, job_id, 3)
        assert next(stream).data["done"] == 3
        report(database, job_id, 4)
        append(database, job_id)
        assert next(stream).id == "2", "an event need not wait"
        monkeypatch.setattr(f"{CODE}.PROGRESS_SECONDS", 0.0)
        append(database, job_id)
        assert next(stream).id == "3", "the event has superseded the report before it"
        report(database, job_id, 5)
        assert next(stream).data["done"] == 5


def test_what_is_no_report_is_not_sent(api: httpx.Client, database: Database, job_id: UUID) -> None:
    other = insert_job(database, state=JobState.RUNNING, stage=Stage.PRUNING)
    with watching(api, database, job_id, progress="true") as [stream]:
        for payload in (f"{job_id}", f"{job_id} {{", f"{job_id} []", f'{job_id} {{"done": "many"}}', "", " "):
            with database.begin() as session:
                session.execute(select(func.pg_notify(PROGRESS_CHANNEL, payload)))
        with pytest.raises(StaleFence):
            report(database, job_id, 7, fence=6)
        report(database, other, 8)
        with database.begin() as session:  # longer than a notification may be
            repository.progress(session, job_id, 0, REPORT | {"unit": "€" * 9000})
        set_job(database, job_id, progress=None)
        report(database, job_id, 9)
        assert next(stream).data["done"] == 9


def test_a_worker_with_a_role_of_its_own_reports(api: httpx.Client, database: Database, database_url: str, job_id: UUID) -> None:
    with restricted_role(database_url) as url, watching(api, database, job_id, progress="true") as [stream]:
        own = Database(url)
        report(own, job_id, 3)
        own.close()
        assert next(stream).event == "progress"


def test_the_option_is_true_or_false(api: httpx.Client, job_id: UUID) -> None:
    status, _, pointers = problem(api.get(f"/v1/jobs/{job_id}/events", params={"progress": "yes"}, headers=STREAM))
    assert (status, pointers) == (422, ["progress"])
