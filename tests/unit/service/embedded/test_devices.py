"""How many workers a machine gets, and on what."""

import json
import subprocess
from typing import Any

import pytest

from service.embedded import devices
from service.embedded.processes import ServerError


def having(patch: pytest.MonkeyPatch, count: int) -> None:
    """A machine on which torch finds so many GPUs."""
    found = [{"name": f"cuda:{index}", "description": "a GPU", "memory_bytes": 1} for index in range(count)]

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, json.dumps(found), "")

    patch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    ("count", "device", "workers", "expected"),
    [
        (0, "auto", None, ["cpu"]),
        (0, "auto", 3, ["cpu"] * 3),
        (2, "cpu", 2, ["cpu"] * 2),
        (4, "auto", None, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        (4, "auto", 2, ["cuda:0", "cuda:1"]),
        (4, "cuda", None, ["cuda:0"]),
        (4, "cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (4, "cuda:2", None, ["cuda:2"]),
    ],
)
def test_every_gpu_has_one_worker_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch, count: int, device: str, workers: int | None, expected: list[str]
) -> None:
    having(monkeypatch, count)
    assert devices.for_workers(device, workers) == expected


@pytest.mark.parametrize(("count", "device", "workers"), [(2, "auto", 3), (2, "cuda:1", 2)])
def test_two_workers_never_share_a_gpu(monkeypatch: pytest.MonkeyPatch, count: int, device: str, workers: int) -> None:
    having(monkeypatch, count)
    with pytest.raises(ServerError, match="one worker per GPU"):
        devices.for_workers(device, workers)


def test_a_torch_that_fails_to_start_is_reported_with_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: libcudart.so")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: done)
    with pytest.raises(ServerError, match="ImportError: libcudart"):
        devices.for_workers("auto", None)


def test_devices_of_this_machine_are_detected() -> None:
    assert devices.for_workers("auto", None)
