"""Lines of `dsnot workers` and `dsnot jobs plan` about devices."""

from datetime import UTC, datetime

import pytest

from service.cli import planning, workers
from service.client import Client, Worker

NOW = datetime(2026, 1, 31, tzinfo=UTC)
GPU = "H100 (64.0 GiB, compute capability 9.0, CUDA 13.0, driver 580.65.06)"
VERSIONS = {"torch": "2.13.0", "cuda": "13.0", "driver": "580.65.06"}


def worker(**fields: object) -> Worker:
    usual = {"id": "h:1", "state": "idle", "device": "gpu", "device_name": "H100", "started_at": NOW, "seen_at": NOW}
    sizes = {"host_memory_bytes": 2, "used_memory_bytes": 1, "free_disk_bytes": 1}
    return Worker.model_validate(usual | sizes | fields)


def test_workers_have_memory_capability_and_versions_of_their_gpu() -> None:
    found = worker(device_memory_bytes=2**36, compute_capability="9.0", versions=VERSIONS)
    assert workers._row(found)[2] == GPU
    assert workers._row(worker())[2] == "H100", "an older service does not send them"


def test_unused_gpus_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [worker(device_problem="the driver is too old"), worker(state="stopped", device_problem="no driver")]
    monkeypatch.setattr(Client, "workers", lambda _: found)
    monkeypatch.setenv("DSNOT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DSNOT_API_KEY", "dsnot_a_b")
    workers.workers()
    assert capsys.readouterr().err == "h:1 uses its CPU: the driver is too old\n"


def test_a_plan_describes_devices() -> None:
    found = {"name": "H100", "memory_bytes": 2**36, "compute_capability": "9.0", "versions": VERSIONS}
    assert planning._device(found) == GPU
