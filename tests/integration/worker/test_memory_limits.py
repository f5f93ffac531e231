"""Admission by memory: which worker claims a job, the note of a job that none can claim, and the worker that is woken for it."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.outbox import OutboxMessage
from service.jobs.attempts import standings
from service.jobs.least_memory import LeastMemory
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support.tenant_queues import add, claim
from tests.support.tiny_model import save_model

GIB = 2**30


def register(database: Database, name: str, *, host: int, gpu: int | None = None) -> None:
    """A worker with this memory in bytes; with a GPU if `gpu` is given."""
    device = DeviceClass.CPU if gpu is None else DeviceClass.GPU
    with database.begin() as session:
        workers.started(session, Identity(name, "host", device, f"a {device}", gpu, host, {}), Usage(1, 2**40))


def messages(database: Database) -> int:
    with database.begin() as session:
        return session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one()


def test_a_worker_claims_no_job_that_needs_more_memory_than_it_has(database: Database) -> None:
    register(database, "small", host=8 * GIB)
    register(database, "large", host=64 * GIB)
    add(database, "one", 1, age=100, least_cpu_bytes=8 * GIB + 1)
    add(database, "one", 1, age=50, least_cpu_bytes=8 * GIB)
    second = claim(database, worker="small")
    assert second is not None
    assert claim(database, worker="small") is None
    first = claim(database, worker="large")
    assert first is not None
    assert first.job_id != second.job_id


@pytest.mark.parametrize(("host", "gpu", "is_enough"), [(10, 20, True), (9, 20, False), (10, 19, False)])
def test_a_worker_with_a_gpu_needs_both_parts_of_the_memory(database: Database, host: int, gpu: int, is_enough: bool) -> None:
    register(database, "w", host=host, gpu=gpu)
    add(database, "one", 1, least_cpu_bytes=1000, least_host_bytes=10, least_device_bytes=20)
    assert (claim(database, DeviceClass.GPU) is not None) == is_enough


def test_a_job_of_unknown_memory_is_claimed_by_any_worker_and_any_job_by_an_unknown_one(database: Database) -> None:
    register(database, "small", host=1)
    add(database, "one", 1)
    add(database, "two", 1, least_cpu_bytes=10**12)
    assert claim(database, worker="small") is not None
    assert claim(database, worker="small") is None
    assert claim(database, worker="not registered") is not None


def test_a_tenant_whose_jobs_are_too_large_does_not_hold_up_others(database: Database) -> None:
    register(database, "w", host=GIB)
    add(database, "large", 50, age=1000, priority=9, least_cpu_bytes=2 * GIB)
    add(database, "small", 2, least_cpu_bytes=1)
    found = [claim(database) for _ in range(3)]
    assert [each.tenant if each else None for each in found] == ["small", "small", None]


def test_jobs_too_large_for_every_worker_are_not_sent_again(database: Database) -> None:
    add(database, "one", 3, least_cpu_bytes=2 * GIB, least_host_bytes=1, least_device_bytes=2 * GIB)
    for expected in (3, 0, 3):  # without workers it is unknown who will come
        with database.begin() as session:
            assert standings.claimable(session)["any"] == expected
        register(database, f"worker {expected}", host=GIB if expected else 4 * GIB)


def test_a_message_goes_on_to_an_idle_worker_with_the_memory_and_only_then(database: Database) -> None:
    add(database, "one", 2, least_cpu_bytes=2 * GIB)
    register(database, "small", host=GIB)
    assert claim(database, worker="small") is None
    assert messages(database) == 0
    register(database, "large", host=4 * GIB)
    assert claim(database, worker="small") is None
    assert messages(database) == 1
    assert claim(database, worker="large") is not None
    assert claim(database, worker="small") is None
    assert messages(database) == 1


TINY: dict[str, Any] = {
    "model": {"source": "local", "id": "tiny"},
    "calibration": {"dataset": "c4-sample:test", "num_samples": 8, "sequence_length": 64},
    "evaluation": {"perplexity": [], "sequence_length": 64, "samples": None},
}


@pytest.fixture
def planned(api: httpx.Client, settings: Settings, database: Database) -> dict[str, Any]:
    """The memory of a job on a CPU, as its plan says."""
    save_model(settings.model_root / "tiny")
    register(database, "w", host=64 * GIB)
    (memory,) = api.post("/v1/jobs", params={"validate_only": "true"}, json=TINY).json()["memory"]
    assert memory["device"] == "cpu"
    return dict(memory)


def test_created_jobs_have_the_memory_of_their_plan(api: httpx.Client, database: Database, planned: dict[str, Any]) -> None:
    made = api.post("/v1/jobs", json=TINY).json()
    api.post("/v1/sweeps", json={"template": TINY, "axes": {"/calibration/seed": [0, 1]}}).raise_for_status()
    trigger = api.post("/v1/triggers", json={"name": "x", "template": TINY}).json()
    api.post(f"/v1/triggers/{trigger['id']}/fire", json={}).raise_for_status()
    api.post(f"/v1/jobs/{made['id']}/cancel").raise_for_status()
    api.post(f"/v1/jobs/{made['id']}/retry").raise_for_status()
    with database.begin() as session:
        jobs = session.scalars(select(Job)).all()
    found = {LeastMemory.of(job) for job in jobs}
    assert len(jobs) == 5
    assert len(found) == 1
    (least,) = found
    assert least.least_cpu_bytes == planned["least_host_bytes"]
    assert least.least_device_bytes is not None


def test_a_job_that_no_worker_can_take_says_why(api: httpx.Client, database: Database, planned: dict[str, Any]) -> None:
    made = api.post("/v1/jobs", json=TINY).json()
    assert api.get(f"/v1/jobs/{made['id']}").json()["eta"]["starts_at"] is not None
    register(database, "w", host=1000)
    eta = api.get(f"/v1/jobs/{made['id']}").json()["eta"]
    least = planned["least_host_bytes"] / GIB
    assert eta["starts_at"] is None
    assert eta["note"].startswith("no worker online has the memory for it")
    assert f"at least {least:.1f} GiB of the host's memory, and the largest has 0.0 GiB" in eta["note"]
    register(database, "large", host=64 * GIB)
    assert api.get(f"/v1/jobs/{made['id']}").json()["eta"]["starts_at"] is not None


def test_a_job_held_back_by_the_quota_says_so(api: httpx.Client, database: Database, planned: dict[str, Any]) -> None:
    quotas.set_limits(database, "acme", {"max_running_jobs": 0})
    made = api.post("/v1/jobs", json=TINY).json()
    assert "lets none of its jobs run" in api.get(f"/v1/jobs/{made['id']}").json()["eta"]["note"]
    quotas.set_limits(database, "acme", {"max_running_jobs": 1})
    assert claim(database) is not None
    second = api.post("/v1/jobs", json=TINY).json()
    register(database, "idle", host=64 * GIB)
    eta = api.get(f"/v1/jobs/{second['id']}").json()["eta"]
    assert (eta["starts_at"], eta["note"]) == (None, "start unknown: 1 of at most 1 jobs of your tenant are running")
