"""Pausing, resuming, trying again and deleting jobs over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from service.contract.devices import DeviceClass
from service.contract.scopes import Scope
from service.contract.states import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.outbox import OutboxMessage
from service.jobs.attempts import repository
from service.settings import Settings
from tests.support.api_server import BODY, client, insert_job, key_for, problem, serving, set_job

WAITING = {JobState.QUEUED, JobState.RUNNING, JobState.PAUSING, JobState.PAUSED, JobState.CANCELLING}


def event_types(api: httpx.Client, job_id: object) -> list[str]:
    return [event["type"] for event in api.get(f"/v1/jobs/{job_id}/events").json()["items"]]


def claimable(database: Database) -> bool:
    with database.begin() as session:
        found = repository.claim_next(session, worker="test", device=DeviceClass.CPU, lease_seconds=60)
        session.rollback()
    return found is not None


def test_a_paused_job_is_not_claimed_until_it_is_resumed(api: httpx.Client, database: Database) -> None:
    created = api.post("/v1/jobs", json=BODY)
    path = created.headers["location"]
    assert api.post(f"{path}/pause").json()["state"] == "paused"
    assert not claimable(database)
    assert api.post(f"{path}/resume").json()["state"] == "queued"
    assert claimable(database)
    assert event_types(api, created.json()["id"]) == ["created", "pause_requested", "paused", "resumed"]
    with database.begin() as session:
        assert session.scalars(select(func.count()).select_from(OutboxMessage)).one() == 2, "the workers are told again"


def test_a_running_job_keeps_its_worker_until_it_has_paused(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, state=JobState.RUNNING, fence=3)
    assert api.post(f"/v1/jobs/{job_id}/pause").json()["state"] == "pausing"
    refused = api.post(f"/v1/jobs/{job_id}/resume")
    assert problem(refused)[:2] == (409, "conflict")
    assert "once it is paused" in refused.json()["detail"]
    with database.begin() as session:
        assert session.scalars(select(Job.fence)).one() == 3


@pytest.mark.parametrize(
    ("change", "states"),
    [
        ("pause", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSING, JobState.PAUSED]),
        ("resume", [JobState.PAUSED, JobState.QUEUED, JobState.RUNNING]),
        ("retry", sorted(TERMINAL_STATES - {JobState.SUCCEEDED})),
    ],
)
def test_a_transition_happens_once_in_allowed_states_only(
    api: httpx.Client, database: Database, change: str, states: list[JobState]
) -> None:
    for state in JobState:
        job_id = insert_job(database, state=state, paused_at=func.now() if state == JobState.PAUSED else None)
        answers = [api.post(f"/v1/jobs/{job_id}/{change}") for _ in range(2)]
        if state in states:
            assert all(answer.is_success for answer in answers), (state, answers[0].text)
            assert answers[0].json() == answers[1].json()
            assert answers[0].headers["etag"] == answers[1].headers["etag"]
        else:
            assert [problem(answer)[:2] for answer in answers] == [(409, "conflict")] * 2, state
            assert api.get(f"/v1/jobs/{job_id}").json()["state"] == state


CHANGES = [
    ("POST", "/pause", JobState.QUEUED),
    ("POST", "/resume", JobState.PAUSED),
    ("POST", "/cancel", JobState.QUEUED),
    ("POST", "/retry", JobState.FAILED),
    ("DELETE", "", JobState.FAILED),
]


@pytest.mark.parametrize(("method", "path", "state"), CHANGES)
def test_a_change_requires_the_matching_version(
    api: httpx.Client, database: Database, method: str, path: str, state: JobState
) -> None:
    job_id = insert_job(database, state=state, paused_at=func.now() if state == JobState.PAUSED else None)
    stale = api.get(f"/v1/jobs/{job_id}").headers["etag"]
    set_job(database, job_id, priority=1)
    tag = api.get(f"/v1/jobs/{job_id}").headers["etag"]

    def change(*conditions: str) -> httpx.Response:
        return api.request(method, f"/v1/jobs/{job_id}{path}", headers=[("If-Match", condition) for condition in conditions])

    for conditions in ([stale], [f"W/{stale}"], ['"x"'], [""], [f'{stale}, "x"'], [tag.strip('"')]):
        assert problem(change(*conditions))[:2] == (412, "precondition-failed"), conditions
    same = api.get(f"/v1/jobs/{job_id}")
    assert (same.json()["state"], same.headers["etag"]) == (state, tag)
    assert change(f'"x", {stale}', tag).is_success, "a list may come in several lines"


@pytest.mark.parametrize(("method", "path", "state"), CHANGES)
def test_if_match_star_matches_any_version(
    api: httpx.Client, database: Database, method: str, path: str, state: JobState
) -> None:
    job_id = insert_job(database, state=state, paused_at=func.now() if state == JobState.PAUSED else None)
    assert api.request(method, f"/v1/jobs/{job_id}{path}", headers={"If-Match": "*"}).is_success
    assert api.request(method, f"/v1/jobs/{uuid4()}{path}", headers={"If-Match": "*"}).status_code == 404


def test_deadlines_are_suspended_while_a_job_is_paused(api: httpx.Client, database: Database) -> None:
    created = api.post("/v1/jobs", json=BODY | {"queue_deadline_seconds": 100}).json()
    api.post(f"/v1/jobs/{created['id']}/pause")
    with database.begin() as session:
        session.execute(update(Job).values(paused_at=Job.paused_at - timedelta(seconds=1000)))
        before = session.scalars(select(Job.queue_deadline_at)).one()
    api.post(f"/v1/jobs/{created['id']}/resume")
    with database.begin() as session:
        after = session.scalars(select(Job.queue_deadline_at)).one()
    assert before is not None
    assert after is not None
    assert timedelta(seconds=1000) <= after - before < timedelta(seconds=1600)


def test_retrying_a_failed_job_is_idempotent(api: httpx.Client, database: Database) -> None:
    failed = insert_job(database, state=JobState.FAILED)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.post(f"/v1/jobs/{failed}/retry"), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    (new,) = {answer.json()["id"] for answer in answers}
    job = api.get(f"/v1/jobs/{new}").json()
    assert {answer.headers["location"] for answer in answers} == {f"/v1/jobs/{new}"}
    assert (job["state"], job["retry_of"]) == ("queued", str(failed))
    assert job["spec"] == api.get(f"/v1/jobs/{failed}").json()["spec"]
    assert api.get(f"/v1/jobs/{failed}").json()["state"] == "failed"


def test_a_retry_counts_against_the_quota(settings: Settings, database: Database) -> None:
    failed = insert_job(database, state=JobState.FAILED)
    insert_job(database)
    with serving(settings.model_copy(update={"max_queued_jobs": 1})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        assert problem(api.post(f"/v1/jobs/{failed}/retry"))[:2] == (429, "quota-exceeded")


def test_a_retry_of_a_job_whose_model_was_deleted_is_refused(api: httpx.Client, database: Database, settings: Settings) -> None:
    spec = {"model": {"source": "local", "id": "gone"}}
    failed = insert_job(database, state=JobState.FAILED, spec=spec)
    assert problem(api.post(f"/v1/jobs/{failed}/retry")) == (422, "model-not-found", ["/model/id"])


@pytest.mark.parametrize("state", JobState)
def test_a_finished_job_is_deleted_at_once(api: httpx.Client, database: Database, state: JobState) -> None:
    job_id = insert_job(database, state=state)
    answer = api.delete(f"/v1/jobs/{job_id}")
    if state in WAITING:
        assert problem(answer)[:2] == (409, "conflict")
        return
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/events", "/attempts", "/layers", "/metrics", "/artifacts"):
        assert api.get(f"/v1/jobs/{job_id}{path}").status_code == 404
    assert api.get("/v1/jobs").json()["items"] == []
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 404


def test_another_tenant_cannot_change_a_job(api: httpx.Client, database: Database, settings: Settings) -> None:
    job_id = insert_job(database, state=JobState.FAILED, tenant="other")
    for change in ("pause", "resume", "retry", "cancel"):
        assert api.post(f"/v1/jobs/{job_id}/{change}").status_code == 404
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 404


def test_a_read_only_key_cannot_change_a_job(settings: Settings, database: Database) -> None:
    job_id = insert_job(database)
    with serving(settings) as url, client(url, key_for(database, Scope.JOBS_READ)) as api:
        for change in ("pause", "resume", "retry"):
            assert problem(api.post(f"/v1/jobs/{job_id}/{change}"))[:2] == (403, "forbidden")
        assert api.delete(f"/v1/jobs/{job_id}").status_code == 403


def test_an_expired_artifact_is_reported_as_removed(api: httpx.Client, database: Database) -> None:
    gone = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/x/1", artifact_removed_at=func.now())
    answer = api.get(f"/v1/jobs/{gone}/artifacts")
    assert problem(answer)[:2] == (404, "not-found")
    assert "was removed" in answer.json()["detail"]
