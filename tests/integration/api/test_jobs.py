"""Creating, reading, listing and cancelling jobs."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from threading import Semaphore
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job, Layer
from service.database.tables.outbox import OutboxMessage
from service.settings import Settings
from tests.support.api_server import BODY, client, insert_job, key_for, serving, set_job
from tests.support.job_pages import pages


def event_types(api: httpx.Client, job_id: str) -> list[str]:
    return [event["type"] for event in api.get(f"/v1/jobs/{job_id}/events").json()["items"]]


def test_a_new_job_has_its_row_event_and_outbox_message(api: httpx.Client, database: Database) -> None:
    response = api.post("/v1/jobs", json=BODY | {"labels": {"team": "search"}})
    assert response.status_code == 201
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["attempt"], job["labels"]) == ("queued", 0, {"team": "search"})
    with database.begin() as session:
        row = session.scalars(select(Job)).one()
        assert str(row.id) == job["id"]
        assert response.headers["etag"] == f'"{row.version}"'
        assert [(e.seq, e.type) for e in session.scalars(select(JobEvent))] == [(1, "created")]
        assert [m.payload for m in session.scalars(select(OutboxMessage))] == [{"job_id": job["id"]}]


def test_the_response_has_all_defaults_and_can_be_posted_again(api: httpx.Client) -> None:
    spec = api.post("/v1/jobs", json=BODY).json()["spec"]
    assert spec["calibration"] == {"dataset": "c4:train", "num_samples": 128, "sequence_length": 2048, "seed": 0, "bos": "auto"}
    assert spec["recipe"]["preset"] == "balanced"
    assert spec["recipe"]["refinement"] == {"method": "swaps", "max_swaps": 100}
    assert api.post("/v1/jobs", json=spec).json()["spec"] == spec


def test_every_link_of_a_job_resolves(api: httpx.Client) -> None:
    links = api.post("/v1/jobs", json=BODY).json()["links"]
    changes = ("pause", "resume", "cancel", "retry")
    assert {name: api.get(path).status_code for name, path in links.items() if name not in (*changes, "artifacts")} == {
        "self": 200,
        "attempts": 200,
        "events": 200,
        "layers": 200,
        "logs": 200,
        "metrics": 200,
    }
    assert api.get(links["artifacts"]).status_code == 404
    assert [api.post(links[change]).status_code for change in changes] == [200, 200, 200, 201]


def test_a_running_job_shows_what_its_worker_reports(api: httpx.Client, database: Database) -> None:
    progress = {"done": 3, "total": 30, "unit": "blocks", "eta_seconds": 12.5}
    job_id = insert_job(
        database,
        state=JobState.RUNNING,
        stage="pruning",
        progress=progress,
        attempts_started=2,
        metrics={"seconds": {"loading": 1.5}, "sparsity": 0.5},
    )
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert (job["stage"], job["attempt"]) == ("pruning", 2)
    unreported = dict.fromkeys(("matrices_done", "matrices_total", "block_elapsed", "own_blocks", "block_seconds"))
    assert job["progress"] == progress | unreported
    assert job["timings"] == {"loading": 1.5}
    assert api.get(f"/v1/jobs/{job_id}/metrics").json() == job["metrics"]


def test_a_failed_job_reports_its_failure(api: httpx.Client, database: Database) -> None:
    error = {"code": "disk-full", "detail": "no space left", "retryable": True}
    job_id = insert_job(database, state=JobState.FAILED, error=error, finished_at=datetime.now(UTC))
    assert api.get(f"/v1/jobs/{job_id}").json()["error"] == error


def test_layers_are_ordered_and_paginated(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database)
    measures = {"rows": 4, "columns": 8, "sparsity": 0.5, "error_start": 0.2, "error": 0.1, "swaps": 3, "seconds": 0.01}
    figures = {"error_mask": 0.15, "stops": {"max_swaps": 4}, "tokens": 64}  # a worker of the version before writes none
    with database.begin() as session:
        session.add_all(Layer(job_id=job_id, position=p, name=f"m{p}", block=p // 2, **measures) for p in (2, 0))
        session.add(Layer(job_id=job_id, position=1, name="m1", block=0, **measures, **figures))
    first = api.get(f"/v1/jobs/{job_id}/layers", params={"limit": 2}).json()
    second = api.get(f"/v1/jobs/{job_id}/layers", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [layer["name"] for layer in first["items"] + second["items"]] == ["m0", "m1", "m2"]
    assert (first["items"][0]["shape"], second["next_cursor"]) == ([4, 8], None)
    assert {name: first["items"][1][name] for name in figures} == figures
    assert {first["items"][0][name] for name in figures} == {None}


def test_pages_hold_every_job_once_under_concurrent_inserts(api: httpx.Client, database: Database) -> None:
    same_instant = datetime.now(UTC) - timedelta(hours=1)
    mine = {str(insert_job(database, created_at=same_instant)) for _ in range(7)}
    seen: list[str] = []
    for page in pages(api, limit=2):
        seen += page
        api.post("/v1/jobs", json=BODY)
    assert len(seen) == len(set(seen))
    assert mine <= set(seen)


def copies(database: Database, job_id: object, ages: Sequence[float | None], allowed: Semaphore) -> None:
    """Insert copies of a job as they are allowed, each in a transaction of its own: as old as is said, or new."""
    columns = [column for column in Job.__table__.columns if column.name not in ("id", "created_at") and column.computed is None]
    with database.engine.connect() as connection:
        for age in ages:
            allowed.acquire()
            created_at = func.now() if age is None else func.now() - timedelta(seconds=age)
            row = select(func.gen_random_uuid(), created_at, *columns).where(Job.id == job_id)
            connection.execute(insert(Job).from_select(["id", "created_at", *columns], row))
            connection.commit()


def test_polling_misses_and_repeats_no_job_during_inserts(api: httpx.Client, database: Database) -> None:
    """Also into the middle of the list, as transactions do that began long before they commit."""
    values: dict[str, Any] = {"model": "org/mine", "labels": {"team": "search"}}
    now = datetime.now(UTC)
    mine = {str(insert_job(database, created_at=now - timedelta(seconds=n // 3), **values)) for n in range(48)}
    theirs = {
        str(insert_job(database, created_at=now - timedelta(seconds=5), **(values | other)))
        for other in ({"model": "org/other"}, {"state": JobState.PAUSED}, {"labels": {"team": "ads"}})
    }
    ages = [None if n % 4 else n % 20 + 0.5 for n in range(250)]
    filtered = pages(api, limit=5, state="queued", model="org/mine", **{"label.team": "search"})
    some, every, allowed = list[str](), list[str](), Semaphore(0)
    with ThreadPoolExecutor(4) as threads:
        inserting = [threads.submit(copies, database, next(iter(mine)), ages, allowed) for _ in range(4)]
        for one, other in zip_longest(filtered, pages(api, limit=5), fillvalue=list[str]()):
            some, every = some + one, every + other
            allowed.release(80)
        allowed.release(1000)
    for walked, there in ((some, mine), (every, mine | theirs)):
        assert len(walked) == len(set(walked)), "none twice"
        assert there <= set(walked), "none missed"
    assert not theirs & set(some)
    assert [each.exception() for each in inserting] == [None] * 4
    assert count_jobs(database) == 1000 + len(mine | theirs)


def count_jobs(database: Database) -> int:
    with database.begin() as session:
        return session.execute(select(func.count()).select_from(Job)).scalar_one()


def test_the_newest_job_comes_first(api: httpx.Client) -> None:
    created = [api.post("/v1/jobs", json=BODY).json()["id"] for _ in range(3)]
    assert [job_id for page in pages(api, limit=100) for job_id in page] == created[::-1]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"state": "queued"}, "abc"),
        ({"state": ["running", "failed"]}, "d"),
        ({"model": "org/one"}, "ab"),
        ({"label.team": "search"}, "a"),
        ({"label.team": "search", "label.tier": "x"}, ""),
        ({"created_after": "2026-01-02T12:00:00Z"}, "cd"),
        ({"created_before": "2026-01-02T00:00:00+00:00"}, "a"),
        ({"created_after": "2026-01-01T12:00:00Z", "created_before": "2026-01-03T12:00:00Z", "model": "org/two"}, "c"),
    ],
)
def test_filters_select_exactly_the_matching_jobs(
    api: httpx.Client, database: Database, params: dict[str, Any], expected: str
) -> None:
    names = {}
    for name, model, state, labels in (
        ("a", "org/one", JobState.QUEUED, {"team": "search"}),
        ("b", "org/one", JobState.QUEUED, {"team": "ads", "tier": "x"}),
        ("c", "org/two", JobState.QUEUED, {}),
        ("d", "org/two", JobState.RUNNING, {}),
    ):
        day = datetime(2026, 1, "abcd".index(name) + 1, tzinfo=UTC)
        names[str(insert_job(database, model=model, state=state, labels=labels, created_at=day))] = name
    found = [names[job["id"]] for job in api.get("/v1/jobs", params=params).json()["items"]]
    assert "".join(sorted(found)) == expected


def test_a_queued_job_is_cancelled_at_once_and_not_claimed_later(api: httpx.Client, database: Database) -> None:
    job_id = api.post("/v1/jobs", json=BODY).json()["id"]
    cancelled = api.post(f"/v1/jobs/{job_id}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert event_types(api, job_id) == ["created", "cancel_requested", "cancelled"]
    with database.begin() as session:
        assert session.scalars(select(Job.fence)).one() == 1


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAUSING])
def test_a_running_job_is_asked_to_stop(api: httpx.Client, database: Database, state: JobState) -> None:
    job_id = insert_job(database, state=state, fence=3)
    assert api.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelling"
    assert event_types(api, str(job_id)) == ["cancel_requested"]
    with database.begin() as session:
        assert session.scalars(select(Job.fence)).one() == 3, "the worker still holds it"


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_cancelling_is_idempotent(api: httpx.Client, database: Database, state: JobState) -> None:
    job_id = insert_job(database, state=state)
    first = api.post(f"/v1/jobs/{job_id}/cancel")
    second = api.post(f"/v1/jobs/{job_id}/cancel")
    assert (second.status_code, second.json()) == (200, first.json())
    assert second.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES - {JobState.CANCELLED}))
def test_a_finished_job_cannot_be_cancelled(api: httpx.Client, database: Database, state: JobState) -> None:
    job_id = insert_job(database, state=state)
    response = api.post(f"/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert api.get(f"/v1/jobs/{job_id}").json()["state"] == state


def test_cancelling_requires_the_matching_version(api: httpx.Client, database: Database) -> None:
    created = api.post("/v1/jobs", json=BODY)
    path, tag = created.headers["location"], created.headers["etag"]
    set_job(database, created.json()["id"], priority=1)
    stale = api.post(f"{path}/cancel", headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    assert api.post(f"{path}/cancel", headers={"If-Match": f"W/{tag}"}).status_code == 412, "compared weakly, but still stale"
    fresh = api.get(path).headers["etag"]
    assert api.post(f"{path}/cancel", headers={"If-Match": f"{tag}, {fresh}"}).json()["state"] == "cancelled"


def test_an_unchanged_job_returns_not_modified(api: httpx.Client, database: Database) -> None:
    path = f"/v1/jobs/{insert_job(database)}"
    first = api.get(path)
    for condition in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        same = api.get(path, headers={"If-None-Match": condition})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    api.post(f"{path}/pause")
    changed = api.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.json()["state"]) == (200, "paused")
    assert api.get(f"/v1/jobs/{uuid4()}", headers={"If-None-Match": "*"}).status_code == 404


def test_concurrent_cancels_make_one_cancellation(api: httpx.Client) -> None:
    job_id = api.post("/v1/jobs", json=BODY).json()["id"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.post(f"/v1/jobs/{job_id}/cancel").status_code, range(16)))
    assert set(answers) == {200}
    assert event_types(api, job_id).count("cancelled") == 1


def test_the_quota_holds_under_concurrent_creation(settings: Settings, database: Database) -> None:
    with serving(settings.model_copy(update={"max_queued_jobs": 5})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        barrier = threading.Barrier(12)

        def create(_: int) -> httpx.Response:
            barrier.wait()
            return api.post("/v1/jobs", json=BODY)

        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(create, range(12)))
        refused = next(answer for answer in answers if answer.status_code != 201)
        assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 7
        assert refused.json()["code"] == "quota-exceeded"
        assert int(refused.headers["retry-after"]) > 0
        with client(url, key_for(database, Scope.ADMIN, tenant="other")) as other:
            assert other.post("/v1/jobs", json=BODY).status_code == 201, "the quota is the tenant's"


def test_started_jobs_free_the_queue_quota(settings: Settings, database: Database) -> None:
    insert_job(database, state=JobState.RUNNING)
    with serving(settings.model_copy(update={"max_queued_jobs": 1})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        assert api.post("/v1/jobs", json=BODY).status_code == 201


def test_a_queue_deadline_counts_from_the_creation(api: httpx.Client, database: Database) -> None:
    api.post("/v1/jobs", json=BODY | {"queue_deadline_seconds": 90})
    with database.begin() as session:
        assert session.scalars(select(Job.queue_deadline_at - Job.created_at)).one() == timedelta(seconds=90)


def test_recipes_describe_what_the_contract_accepts(api: httpx.Client) -> None:
    recipes = api.get("/v1/recipes").json()
    dsnot = next(choice for choice in recipes["refinements"] if choice["name"] == "dsnot")
    assert dsnot["options"]["max_cycles"]["default"] == 50
    assert [choice["name"] for choice in recipes["criteria"]] == ["magnitude", "wanda", "ria", "obs"]
    for preset in recipes["presets"]:
        JobSpec.model_validate({"model": {"id": "any"}, "recipe": {"preset": preset["name"]} | preset["recipe"]})
    for dataset in recipes["datasets"]:
        JobSpec.model_validate(
            {
                "model": {"id": "any"},
                "calibration": {"dataset": dataset["calibration"]} | {"dataset": f"{dataset['name']}:{dataset['calibration']}"},
            }
        )
    assert JobSpec.model_validate({"model": {"id": "any"}} | recipes["defaults"]) == JobSpec.model_validate(
        {"model": {"id": "any"}}
    )


def test_an_unknown_job_is_not_found_on_every_route(api: httpx.Client) -> None:
    for part in ("", "/attempts", "/events", "/layers", "/metrics", "/artifacts", "/artifacts/config.json"):
        for job_id in (str(uuid4()), "not-a-uuid", "1", "%00"):
            response = api.get(f"/v1/jobs/{job_id}{part}")
            assert (response.status_code, response.json()["code"]) == (404, "not-found")


def test_a_refused_job_leaves_no_rows(api: httpx.Client, database: Database) -> None:
    api.post("/v1/jobs", json={"model": {"source": "local", "id": "nowhere"}})
    api.post("/v1/jobs", json=BODY | {"priority": 10})
    with database.begin() as session:
        for table in (Job, JobEvent, OutboxMessage):
            assert session.execute(select(func.count()).select_from(table)).scalar_one() == 0
