"""Environment that a worker gives its children for the device that was probed."""

import os
import subprocess
import sys

import pytest
import structlog

from service.settings import get_settings
from worker import app
from worker.gpu_probe import Device

THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in ALLOCATOR + THREADS})


def prepared(versions: dict[str, str], **environment: str) -> dict[str, str]:
    os.environ |= environment
    app._prepare_for(Device("cuda:1", "a GPU", 2**34, versions))
    return {name: os.environ[name] for name in ALLOCATOR if name in os.environ}


def test_children_get_the_probed_device() -> None:
    prepared({})
    assert os.environ["DSNOT_DEVICE"] == "cuda:1"
    assert get_settings.cache_info().currsize == 0


def test_nvidias_allocator_extends_its_segments_unless_the_operator_decides() -> None:
    assert prepared({"cuda": "13.0"}) == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize("name", ALLOCATOR)
def test_an_operators_allocator_settings_are_kept(name: str) -> None:
    assert prepared({"cuda": "13.0"}, **{name: "max_split_size_mb:512"}) == {name: "max_split_size_mb:512"}


@pytest.mark.parametrize("versions", [{}, {"hip": "7.0.2"}])
def test_other_devices_have_no_such_segments(versions: dict[str, str]) -> None:
    assert prepared(versions) == {}


def test_the_reason_for_a_cpu_is_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        app._prepare_for(Device("cpu", "a processor", None, problem="the NVIDIA driver is too old"))
    (line,) = logs
    assert (line["event"], line["log_level"], line["reason"]) == ("gpu_not_used", "warning", "the NVIDIA driver is too old")


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "passive"}, "0"), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_idle_threads_of_a_job_soon_sleep_unless_the_operator_decides(given: dict[str, str], expected: str) -> None:
    program = (
        "from worker import app; from worker.gpu_probe import Device; app._prepare_for(Device('cpu', '', None)); import torch"
    )
    environment = dict(os.environ) | {"OMP_DISPLAY_ENV": "verbose"} | given
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stderr
    assert f"GOMP_SPINCOUNT = '{expected}'" in shown
