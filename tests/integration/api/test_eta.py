"""How long jobs take and when they start: told from jobs that real workers have done, over HTTP."""

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from service.contract.devices import DeviceClass
from service.contract.states import Stage
from service.dashboard.operations import overview
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.timings import RunSpeed
from service.jobs.attempts import repository
from service.jobs.attempts.repository import Claim, claim_next
from service.jobs.timings import repository as speeds
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support.tiny_model import save_model
from worker.attempt.runner import work

JOB: dict[str, Any] = {
    "model": {"source": "local", "id": "tiny"},
    "recipe": {"preset": "fast"},
    "calibration": {"dataset": "c4-sample:test", "num_samples": 8, "sequence_length": 64},
    "evaluation": {"perplexity": [], "sequence_length": 64},
}
NAMES = ("one", "two")
SCALE = 1000


@pytest.fixture
def taken(api: httpx.Client, database: Database, settings: Settings) -> dict[str, float]:
    """Two workers of which one has done the job; the seconds of its stages, made long beside those of any test."""
    save_model(settings.model_root / "tiny")
    for name in NAMES:
        introduce(database, name)
    made = api.post("/v1/jobs", json=JOB).json()
    assert work(settings, threading.Event(), worker=NAMES[0])
    done = api.get(f"/v1/jobs/{made['id']}").json()
    assert done["state"] == "succeeded"
    columns = ("token_seconds", "weight_seconds", "evaluating_seconds", "other_seconds", "start_seconds")
    with database.begin() as session:
        session.execute(update(RunSpeed).values({name: getattr(RunSpeed, name) * SCALE for name in columns}))
        start = session.scalars(select(RunSpeed.start_seconds)).one()
    assert start is not None
    return {stage: seconds * SCALE for stage, seconds in done["metrics"]["seconds"].items()} | {"start": start}


def introduce(database: Database, name: str) -> None:
    with database.begin() as session:
        identity = Identity(name, "host", DeviceClass.CPU, "a processor", None, 2**34, {})
        workers.started(session, identity, Usage(1, 2**40))


def show_up(database: Database) -> None:
    """The workers have been silent since they were introduced, for longer than a lease of these tests lasts."""
    for name in NAMES:
        introduce(database, name)


def create(api: httpx.Client, **fields: Any) -> str:
    return str(api.post("/v1/jobs", json=JOB | fields).json()["id"])


def claimed(database: Database, worker: str) -> Claim:
    with database.begin() as session:
        found = claim_next(session, worker=worker, device=DeviceClass.CPU, lease_seconds=60)
    assert found is not None
    return found


def plan(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("/v1/jobs", params={"validate_only": "true"}, json=JOB | fields).json()
    return answer


def until(moment: str | None) -> float:
    assert moment is not None
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def test_the_same_job_is_estimated_at_its_past_duration(api: httpx.Client, database: Database, taken: dict[str, float]) -> None:
    show_up(database)
    estimate = plan(api)["estimate"]
    assert estimate["run_seconds"] == pytest.approx(sum(taken.values()), rel=0.05)
    assert estimate["basis"] == {"jobs": 1, "same_recipe": True, "devices": ["a processor"]}
    assert estimate["run_seconds_low"] < estimate["run_seconds"] < estimate["run_seconds_high"]
    assert (estimate["starts_in_seconds"], estimate["note"]) == (0, None)
    other = plan(api, recipe={"preset": "best"})
    assert (other["estimate"]["basis"]["jobs"], other["estimate"]["basis"]["same_recipe"]) == (1, False)
    assert any("based on other recipes" in warning for warning in other["warnings"])


def test_a_job_of_another_magnitude_gets_a_note_in_place_of_an_estimate(
    api: httpx.Client, database: Database, taken: dict[str, float]
) -> None:
    show_up(database)
    larger = plan(api, calibration=JOB["calibration"] | {"num_samples": 128})
    assert larger["estimate"]["run_seconds"] is larger["estimate"]["run_seconds_high"] is None
    assert larger["estimate"]["note"] == "estimate after 2 blocks"
    assert any("within 10 times" in warning for warning in larger["warnings"])
    swept = {"template": JOB, "axes": {"/calibration/num_samples": [8, 128]}}
    planned = api.post("/v1/sweeps", params={"validate_only": "true"}, json=swept).json()
    assert [each["run_seconds"] is None for each in planned["table"]] == [False, True]
    assert (planned["run_seconds"], planned["wall_seconds_low"], planned["note"]) == (None, None, "estimate after 2 blocks")


def test_evaluation_is_not_estimated_from_runs_without_it(api: httpx.Client, database: Database, taken: dict[str, float]) -> None:
    show_up(database)
    evaluated = plan(api, evaluation={"perplexity": ["wiki-sample"], "sequence_length": 64})
    assert evaluated["estimate"]["run_seconds"] is None


def test_without_history_only_an_idle_worker_gives_an_estimate(api: httpx.Client, database: Database, settings: Settings) -> None:
    save_model(settings.model_root / "tiny")
    assert plan(api)["estimate"]["starts_in_seconds"] is None
    introduce(database, NAMES[0])
    estimate = plan(api)["estimate"]
    assert (estimate["run_seconds"], estimate["starts_in_seconds"], estimate["basis"]["jobs"]) == (None, 0, 0)
    waiting = create(api)
    shown = api.get(f"/v1/jobs/{waiting}").json()
    assert (shown["eta"]["ends_at"], shown["eta"]["note"]) == (None, "estimate after 2 blocks")
    assert until(shown["eta"]["starts_at"]) <= 0


def test_a_queued_job_starts_after_the_jobs_ahead_of_it(api: httpx.Client, database: Database, taken: dict[str, float]) -> None:
    whole = sum(taken.values())
    for name in NAMES:
        create(api)
        claimed(database, name)
    _, second = create(api), create(api)
    show_up(database)
    busy = api.get(f"/v1/jobs/{second}").json()
    assert busy["queue_position"] == 2
    eta = busy["eta"]
    assert until(eta["starts_at"]) == pytest.approx(whole, rel=0.5)
    assert (datetime.fromisoformat(eta["ends_at"]) - datetime.fromisoformat(eta["starts_at"])).total_seconds() == pytest.approx(
        whole, rel=0.05
    )
    third = plan(api)["estimate"]["starts_in_seconds"]
    assert third == pytest.approx(2 * whole, rel=0.5)
    assert third > until(eta["starts_at"])


def test_the_overview_knows_when_the_queue_is_empty(
    api: httpx.Client, database: Database, settings: Settings, taken: dict[str, float]
) -> None:
    show_up(database)
    assert overview(database, settings, tenant="acme").drained is None
    for _ in NAMES:
        create(api)
    urgent = api.post("/v1/jobs", json=JOB | {"priority": 9}).json()["id"]
    show_up(database)
    drained = overview(database, settings, tenant="acme").drained
    assert drained is not None
    assert drained.ends_at is not None
    first = api.get(f"/v1/jobs/{urgent}").json()["eta"]
    assert drained.ends_at > datetime.fromisoformat(first["ends_at"])


def test_a_running_job_ends_after_its_remaining_blocks_and_stages(
    api: httpx.Client, database: Database, taken: dict[str, float]
) -> None:
    job_id = create(api)
    claim = claimed(database, NAMES[0])
    with database.begin() as session:
        known = session.get_one(Job, UUID(api.get("/v1/jobs", params={"state": "succeeded"}).json()["items"][0]["id"])).work
        assert known is not None
        session.execute(update(Job).where(Job.id == UUID(job_id)).values(work=known))
    with database.begin() as session:
        repository.stage_started(session, claim.job_id, claim.fence, Stage.PRUNING)
        report = {"done": 2, "total": 3, "unit": "blocks", "eta_seconds": 90.0, "own_blocks": 2, "block_seconds": 100.0}
        repository.progress(session, claim.job_id, claim.fence, report)
    show_up(database)
    before = datetime.now(UTC)
    eta = api.get(f"/v1/jobs/{job_id}").json()["eta"]
    left = (datetime.fromisoformat(eta["ends_at"]) - before).total_seconds()
    assert 100 - 30 < left < 101 + 30 + 0.5 * sum(taken.values())
    assert 60 < until(eta["ends_earliest_at"]) < until(eta["ends_at"]) < until(eta["ends_latest_at"])
    assert (eta["basis_jobs"], eta["from_own_blocks"], eta["note"]) == (1, True, None)
    assert until(eta["starts_at"]) <= 0


def test_no_estimate_after_blocks_is_promised_when_all_are_pruned(
    api: httpx.Client, database: Database, settings: Settings
) -> None:
    save_model(settings.model_root / "tiny")
    introduce(database, NAMES[0])
    job_id = create(api)
    claim = claimed(database, NAMES[0])
    notes = []
    for stage in (Stage.PRUNING, Stage.EVALUATING):
        with database.begin() as session:
            repository.stage_started(session, claim.job_id, claim.fence, stage)
        notes.append(api.get(f"/v1/jobs/{job_id}").json()["eta"]["note"])
    assert notes == ["estimate after 2 blocks", None]


def test_finished_jobs_have_no_estimate(api: httpx.Client, taken: dict[str, float]) -> None:
    job_id = create(api)
    assert api.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert api.get(f"/v1/jobs/{job_id}").json()["eta"] is None


def test_only_the_newest_runs_of_a_kind_are_kept(api: httpx.Client, database: Database, taken: dict[str, float]) -> None:
    """By the statement that a worker's success carries out, for as many jobs as it takes."""
    for _ in range(speeds.KEPT + 2):
        create(api)
        claim = claimed(database, NAMES[0])
        with database.begin() as session:
            first = api.get("/v1/jobs", params={"state": "succeeded"}).json()["items"][0]
            work_done = session.get_one(Job, UUID(first["id"])).work
            session.execute(update(Job).where(Job.id == claim.job_id).values(work=work_done))
            speeds.learn(session, claim.job_id, first["metrics"])
    show_up(database)
    assert plan(api)["estimate"]["basis"]["jobs"] == speeds.KEPT
