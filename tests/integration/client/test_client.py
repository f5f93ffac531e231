"""The Python client against the real HTTP service."""

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from service.client import (
    Client,
    Conflict,
    Event,
    Forbidden,
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Unauthenticated,
)
from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support.api_server import BODY, insert_job, key_for, serving, set_job
from tests.support.waiting import CEILING_SECONDS


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[Client]:
    key = key_for(database, Scope.ADMIN)
    with serving(settings) as url, Client(url, key) as opened:
        yield opened


def _append(database: Database, job_id: str, event: EventType, number: int) -> None:
    with database.begin() as session:
        events.append(session, UUID(job_id), event, {"n": number})


def test_requests_return_typed_results(client: Client) -> None:
    job = client.jobs.create(BODY | {"labels": {"team": "search"}})
    assert (job.state, job.model, job.labels) == (JobState.QUEUED, BODY["model"]["id"], {"team": "search"})
    seen = client.jobs.get(job.id)  # the answer to the creation has more warnings
    assert seen.model_copy(update={"queue_position": None, "eta": None, "warnings": job.warnings}) == job
    assert client.jobs.create(job.spec).spec == job.spec
    assert [attempt.number for attempt in client.jobs.attempts(job.id)] == []
    assert list(client.jobs.layers(job.id)) == []
    assert client.jobs.metrics(job.id).model_dump(exclude_unset=True) == {}
    assert client.recipes()


def test_a_long_list_is_read_completely_without_repeats(client: Client, database: Database) -> None:
    made = [str(insert_job(database)) for _ in range(45)]
    listed = [job.id for job in client.jobs.list()]
    assert len(listed) == 45
    assert set(listed) == set(made)


def test_events_are_followed_live_to_the_end(client: Client, database: Database) -> None:
    job = client.jobs.create(BODY)
    seen: list[Event] = []
    follower = threading.Thread(target=lambda: seen.extend(client.jobs.events(job.id)), daemon=True)
    follower.start()
    for number in range(20):
        _append(database, job.id, EventType.BLOCK_PRUNED, number)
    assert client.jobs.cancel(job.id).state == JobState.CANCELLED
    follower.join(CEILING_SECONDS)
    assert not follower.is_alive()
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert (seen[0].type, seen[-1].type) == (EventType.CREATED, EventType.CANCELLED)
    assert [event.data["n"] for event in seen if event.type == EventType.BLOCK_PRUNED] == list(range(20))
    assert list(client.jobs.events(job.id, after=20)) == seen[20:]


def test_waiting_ends_with_the_job_or_the_timeout(client: Client, database: Database) -> None:
    job = client.jobs.create(BODY)
    with pytest.raises(TimeoutError, match=r"still queued"):
        client.jobs.wait(job.id, timeout=0)
    set_job(database, job.id, state=JobState.CANCELLED)
    assert client.jobs.wait(job.id, timeout=CEILING_SECONDS).state == JobState.CANCELLED


def test_an_error_carries_the_problem(client: Client) -> None:
    with pytest.raises(InvalidInput) as caught:
        client.jobs.create({"model": {"id": "../etc"}, "colour": "red"})
    assert caught.value.status == 422
    assert {error["pointer"] for error in caught.value.errors} == {"/model/id", "/colour"}
    with pytest.raises(NotFound):
        client.jobs.manifest(client.jobs.create(BODY).id)


def test_each_problem_has_its_exception_class(client: Client, settings: Settings, database: Database) -> None:
    job = client.jobs.create(BODY, idempotency_key="run-17")
    with pytest.raises(IdempotencyKeyReused, match="another request"):
        client.jobs.create(BODY | {"priority": 3}, idempotency_key="run-17")
    with pytest.raises(Conflict, match="cancel it first"):
        client.jobs.delete(job.id)
    with pytest.raises(NotFound, match="there is no job"):
        client.jobs.get("0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11")
    with pytest.raises(Unauthenticated):
        Client(client.url, "dsnot_wrong_key").recipes()
    with Client(client.url, key_for(database, Scope.JOBS_READ)) as reader, pytest.raises(Forbidden, match="jobs:write"):
        reader.jobs.cancel(job.id)
    with serving(settings.model_copy(update={"max_queued_jobs": 1})) as url, pytest.raises(QuotaExceeded) as caught:
        Client(url, key_for(database, Scope.ADMIN)).jobs.create(BODY)
    assert caught.value.retry_after == 60


def test_a_change_is_made_only_to_the_version_that_was_read(client: Client, database: Database) -> None:
    job = client.jobs.create(BODY)
    assert job.etag == client.jobs.get(job.id).etag is not None
    set_job(database, job.id, priority=3)
    with pytest.raises(PreconditionFailed):
        client.jobs.cancel(job.id, if_match=job.etag)
    assert client.jobs.cancel(job.id, if_match=client.jobs.get(job.id).etag).state == JobState.CANCELLED


def test_a_plan_is_typed_and_creates_nothing(client: Client) -> None:
    plan = client.jobs.plan(BODY)
    assert (plan.spec["model"]["id"], plan.queue.position, plan.queue.able_workers) == (BODY["model"]["id"], 1, 0)
    assert any("No worker" in warning for warning in plan.warnings)
    assert list(client.jobs.list()) == []


def test_past_events_are_listed_without_waiting(client: Client) -> None:
    job = client.jobs.create(BODY)
    assert [event.type for event in client.jobs.list_events(job.id)] == [EventType.CREATED]
    assert list(client.jobs.list_events(job.id, after=1)) == []
