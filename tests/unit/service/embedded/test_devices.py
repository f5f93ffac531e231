"""How many workers a machine gets, and on what."""

import subprocess
from typing import Any

import pytest

from service.embedded import devices
from service.embedded.processes import ServerError
from tests.support.fake_gpus import fake_gpus, probe_in_this_process


def having(patch: pytest.MonkeyPatch, count: int, **answers: Any) -> None:
    """A machine on which torch finds so many GPUs."""
    fake_gpus(patch, *["a GPU"] * count, init=None if count else RuntimeError("No CUDA GPUs are available"), **answers)
    probe_in_this_process(patch)


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


def test_a_gpu_that_fails_gets_no_worker_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    having(monkeypatch, 3, broken={1: RuntimeError("CUDA error: uncorrectable ECC error encountered")})
    assert devices.for_workers("auto", None, told.append) == ["cuda:0", "cuda:2"]
    (line,) = told
    assert "cuda:1 (a GPU) fails at a small product" in line
    with pytest.raises(ServerError, match=r"only 2 devices for auto \(cuda:1 "):
        devices.for_workers("auto", 3)


def test_a_device_that_cannot_be_used_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, 1)
    with pytest.raises(ServerError, match=r"the device is cuda:7, but torch sees only cuda:0 \(a GPU\)"):
        devices.for_workers("cuda:7", None)
    with pytest.raises(ServerError, match="only CPUs, NVIDIA's and AMD's GPUs are supported"):
        devices.for_workers("mps", None)


def test_a_torch_that_fails_to_start_is_reported_with_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: libcudart.so")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: done)
    with pytest.raises(ServerError, match="ImportError: libcudart"):
        devices.for_workers("auto", None)


def test_devices_of_this_machine_are_detected() -> None:
    assert devices.for_workers("auto", None)
