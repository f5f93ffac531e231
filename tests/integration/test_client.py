"""The Python client against the real HTTP service."""

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from service.client import ApiError, DsnotClient, Event
from service.contract import EventType, JobState, Scope
from service.database import Database
from service.events import repository as events
from service.settings import Settings
from tests.integration.serving import BODY, insert_job, key_for, serving, set_job


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[DsnotClient]:
    key = key_for(database, Scope.ADMIN)
    with serving(settings) as url, DsnotClient(url, key) as opened:
        yield opened


def _append(database: Database, job_id: str, event: EventType, number: int) -> None:
    with database.begin() as session:
        events.append(session, UUID(job_id), event, {"n": number})


def test_what_is_asked_for_comes_back_filled_in(client: DsnotClient) -> None:
    job = client.create_job(BODY | {"labels": {"team": "search"}})
    assert (job.state, job.model, job.labels) == (JobState.QUEUED, BODY["model"]["id"], {"team": "search"})
    assert client.get_job(job.id).model_copy(update={"queue_position": None}) == job
    assert client.create_job(job.spec).spec == job.spec
    assert [attempt.number for attempt in client.attempts(job.id)] == []
    assert list(client.layers(job.id)) == []
    assert client.metrics(job.id) == {}
    assert client.recipes()


def test_all_pages_of_a_long_list_arrive_once(client: DsnotClient, database: Database) -> None:
    made = [str(insert_job(database)) for _ in range(45)]
    listed = [job.id for job in client.list_jobs()]
    assert len(listed) == 45
    assert set(listed) == set(made)


def test_events_are_followed_live_to_the_end(client: DsnotClient, database: Database) -> None:
    job = client.create_job(BODY)
    seen: list[Event] = []
    follower = threading.Thread(target=lambda: seen.extend(client.events(job.id)), daemon=True)
    follower.start()
    for number in range(20):
        _append(database, job.id, EventType.BLOCK_PRUNED, number)
    assert client.cancel_job(job.id).state == JobState.CANCELLED
    follower.join(20)
    assert not follower.is_alive()
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert (seen[0].type, seen[-1].type) == (EventType.CREATED, EventType.CANCELLED)
    assert [event.data["n"] for event in seen if event.type == EventType.BLOCK_PRUNED] == list(range(20))
    assert list(client.events(job.id, after=20)) == seen[20:]


def test_waiting_ends_with_the_job_or_with_patience(client: DsnotClient, database: Database) -> None:
    job = client.create_job(BODY)
    with pytest.raises(TimeoutError, match=r"still queued"):
        client.wait(job.id, timeout=0)
    set_job(database, job.id, state=JobState.CANCELLED)
    assert client.wait(job.id, timeout=10).state == JobState.CANCELLED


def test_a_refusal_carries_the_problem(client: DsnotClient) -> None:
    with pytest.raises(ApiError) as caught:
        client.create_job({"model": {"id": "../etc"}, "colour": "red"})
    assert caught.value.status == 422
    assert {error["pointer"] for error in caught.value.errors} == {"/model/id", "/colour"}
    with pytest.raises(ApiError) as caught:
        client.manifest(client.create_job(BODY).id)
    assert caught.value.status in (404, 409)
