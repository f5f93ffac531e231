"""The list of workers, as real workers and the database's clock make it."""

import signal
from datetime import timedelta
from pathlib import Path

import httpx
from sqlalchemy import update

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.database.tables.workers import Worker
from service.jobs.attempts import repository as attempts
from service.settings import Settings
from service.workers import repository
from service.workers.repository import Identity, Usage
from tests.support.job_rows import insert_job
from tests.support.processes import starting
from tests.support.waiting import CEILING_SECONDS, eventually
from worker import devices
from worker.gpu_probe import Device
from worker.process.registration import WorkerRegistration

IDENTITY = Identity("gpu-7:4711", "gpu-7", DeviceClass.GPU, "a GPU", 80, 100, {"torch": "2"})


def states(api: httpx.Client) -> dict[str, str]:
    return {worker["id"]: worker["state"] for worker in api.get("/v1/workers").json()["items"]}


def test_a_real_worker_registers_and_deregisters(api: httpx.Client, settings: Settings, tmp_path: Path) -> None:
    with starting(settings, tmp_path) as worker:
        eventually(lambda: list(states(api).values()) == ["idle"])
        (shown,) = api.get("/v1/workers").json()["items"]
        assert shown["id"].endswith(f":{worker.process.pid}")
        assert shown["device"] == "cpu"
        assert shown["host_memory_bytes"] > shown["used_memory_bytes"] > 50e6
        assert shown["free_disk_bytes"] > 0
        assert set(shown["versions"]) == {"dsnot", "torch", "transformers"}
        eventually(lambda: api.get("/v1/workers").json()["items"][0]["seen_at"] > shown["seen_at"])
        worker.process.send_signal(signal.SIGTERM)
        worker.process.wait(CEILING_SECONDS)
    assert list(states(api).values()) == ["stopped"]


def test_a_gpu_is_registered_with_its_capability_and_driver(api: httpx.Client, settings: Settings) -> None:
    gpu = Device("cuda:0", "H100", 2**36, {"cuda": "13.0", "driver": "580.65.06"}, "9.0")
    with WorkerRegistration(settings, DeviceClass.GPU, gpu):
        eventually(lambda: api.get("/v1/workers").json()["items"])
        (shown,) = api.get("/v1/workers").json()["items"]
    assert (shown["device_name"], shown["device_memory_bytes"]) == ("H100", 2**36)
    assert (shown["compute_capability"], shown["device_problem"]) == ("9.0", None)
    assert set(shown["versions"]) == {"dsnot", "torch", "transformers", "cuda", "driver"}


def test_the_reason_for_a_cpu_is_registered(api: httpx.Client, settings: Settings) -> None:
    cpu = Device("cpu", "a processor", None, problem="the NVIDIA driver is too old")
    with WorkerRegistration(settings, DeviceClass.CPU, cpu):
        eventually(lambda: api.get("/v1/workers").json()["items"])
        (shown,) = api.get("/v1/workers").json()["items"]
    assert shown["device_problem"] == "the NVIDIA driver is too old"
    assert "device_problem" not in shown["versions"]


def test_a_stopping_worker_deregisters_before_its_child_has_ended(api: httpx.Client, settings: Settings) -> None:
    device_class, device = devices.chosen("cpu")
    with WorkerRegistration(settings, device_class, device) as presence:
        eventually(lambda: list(states(api).values()) == ["idle"])
        presence.leave()
        eventually(lambda: list(states(api).values()) == ["stopped"])


def test_a_busy_worker_shows_its_job_to_the_jobs_tenant_only(api: httpx.Client, database: Database) -> None:
    job_id = insert_job(database)
    with database.begin() as session:
        repository.started(session, IDENTITY, Usage(1, 2))
        claim = attempts.claim_next(session, worker=IDENTITY.id, device=DeviceClass.GPU, lease_seconds=60)
    assert claim is not None
    (shown,) = api.get("/v1/workers").json()["items"]
    assert (shown["state"], shown["job_id"], shown["attempt"]) == ("busy", None, None), "the job is another tenant's"
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET tenant = 'acme'")
    (shown,) = api.get("/v1/workers").json()["items"]
    assert (shown["state"], shown["job_id"], shown["attempt"]) == ("busy", str(job_id), 1)


def test_a_worker_without_heartbeat_for_a_lease_is_silent(api: httpx.Client, database: Database, settings: Settings) -> None:
    with database.begin() as session:
        repository.started(session, IDENTITY, Usage(1, 2))
    assert states(api) == {IDENTITY.id: "idle"}
    with database.begin() as session:
        session.execute(update(Worker).values(seen_at=Worker.seen_at - timedelta(seconds=settings.lease_seconds + 1)))
    assert states(api) == {IDENTITY.id: "silent"}
    with database.begin() as session:
        repository.seen(session, IDENTITY, Usage(1, 2))
    assert states(api) == {IDENTITY.id: "idle"}
