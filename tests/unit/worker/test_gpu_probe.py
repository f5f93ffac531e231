"""Which device a worker gets, and the sentence if it gets none, on hosts whose `torch.cuda` is faked."""

import subprocess
from pathlib import Path

import pytest
import torch

from service.contract.devices import DeviceClass
from tests.support.fake_gpus import DRIVER, fake_gpus, probe_in_this_process
from worker import devices, gpu_probe
from worker.devices import NoSuchDevice

TOO_OLD = RuntimeError("The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver …")
TOO_OLD_ON_GEFORCE = RuntimeError(
    "Unexpected error from cudaGetDeviceCount(). … Error 804: forward compatibility was attempted …"
)
NO_DRIVER = RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU …")
NO_GPU = RuntimeError("No CUDA GPUs are available")
NO_KERNEL = torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host with an NVIDIA device and no variables that select devices."""
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(gpu_probe, "_DEVICE_FILES", tmp_path)
    probe_in_this_process(monkeypatch)


def refusal(device: str) -> str:
    with pytest.raises(NoSuchDevice) as caught:
        devices.chosen(device)
    return str(caught.value)


@pytest.mark.parametrize(("device", "name"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")])
def test_a_gpu_is_described_with_driver_capability_and_cuda(monkeypatch: pytest.MonkeyPatch, device: str, name: str) -> None:
    fake_gpus(monkeypatch, "H100", "H100 MIG 3g.40gb")
    kind, found = devices.chosen(device)
    assert (kind, found.name, found.memory_bytes) == (DeviceClass.GPU, name, 2**34)
    assert found.versions == {"cuda": "13.0", "driver": DRIVER}
    assert found.compute_capability == "9.0"


def test_a_rocm_build_reports_hip_in_place_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, "MI300X", hip="7.0.2")
    kind, found = devices.chosen("cuda:0")
    assert kind is DeviceClass.GPU
    assert found.versions == {"hip": "7.0.2", "driver": DRIVER}
    assert found.compute_capability == "gfx942"


def test_an_invisible_device_is_refused_with_the_visible_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, "A100 MIG 3g.20gb")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-8c1f")
    assert refusal("cuda:3") == (
        "DSNOT_DEVICE is cuda:3, but torch sees only cuda:0 (A100 MIG 3g.20gb) with CUDA_VISIBLE_DEVICES=MIG-8c1f; "
        "set it to one of these, cpu or auto"
    )


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("mps", "only CPUs, NVIDIA's and AMD's GPUs are supported"),
        ("xpu:0", "only CPUs, NVIDIA's and AMD's GPUs are supported"),
        ("cuda:x", "set it to cpu, cuda:0"),
        ("0", "set it to cpu, cuda:0"),
        ("GPU-5f7a", "name it in CUDA_VISIBLE_DEVICES"),
        ("MIG-8c1f", "name it in CUDA_VISIBLE_DEVICES"),
    ],
)
def test_other_names_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, device: str, words: str) -> None:
    fake_gpus(monkeypatch, "H100")
    said = refusal(device)
    assert said.startswith(f"DSNOT_DEVICE is {device}, but ")
    assert words in said


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (TOO_OLD, f"the NVIDIA driver {DRIVER} is too old for CUDA 13.0 of this torch"),
        (TOO_OLD_ON_GEFORCE, f"the NVIDIA driver {DRIVER} is too old for CUDA 13.0 of this torch"),
        (NO_DRIVER, "this host or container has no NVIDIA driver"),
        (NO_GPU, "no GPU is visible; pass one"),
        (RuntimeError("CUDA unknown error - this may be due to …"), "the GPU driver does not start"),
    ],
)
def test_an_unusable_driver_is_a_refusal_by_name_and_a_warning_with_auto(
    monkeypatch: pytest.MonkeyPatch, init: Exception, words: str
) -> None:
    fake_gpus(monkeypatch, init=init)
    assert words in refusal("cuda:0")
    kind, found = devices.chosen("auto")
    assert (kind, found.name) == (DeviceClass.CPU, "cpu")
    assert found.problem is not None
    assert words in found.problem


def test_a_build_for_cpus_is_named_on_a_host_with_gpus() -> None:
    assert "this build of torch is for CPUs only" in refusal("cuda")
    assert "this build of torch is for CPUs only" in str(devices.chosen("auto")[1].problem)


@pytest.mark.parametrize("hidden", [None, "", "-1"])
def test_a_host_without_gpus_or_with_hidden_ones_has_no_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hidden: str | None
) -> None:
    fake_gpus(monkeypatch, init=NO_GPU)
    if hidden is None:
        (tmp_path / "nvidia0").unlink()
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.chosen("auto")[1].problem is None


@pytest.mark.parametrize(
    ("capability", "error", "words"),
    [
        ("6.1", NO_KERNEL, "has compute capability 6.1, and this torch has kernels for sm_75, sm_80"),
        ("9.0", FULL, "has no free memory"),
        ("9.0", torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"), "exclusive use"),
        ("9.0", torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), "nvidia-smi"),
    ],
)
def test_a_gpu_that_computes_no_product_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capability: str, error: Exception, words: str
) -> None:
    fake_gpus(monkeypatch, "first", "second", capability=capability, broken={0: error})
    assert devices.chosen("auto")[1].name == "cuda:1"
    said = refusal("cuda:0")
    assert "but cuda:0 (first) " in said
    assert words in said


@pytest.mark.parametrize(
    ("major", "minor", "architectures", "runs"),
    [
        (8, 9, ["sm_86"], True),
        (8, 6, ["sm_89"], False),
        (9, 0, ["sm_86"], False),
        (9, 0, ["compute_80"], True),
        (12, 1, ["sm_120"], True),
        (9, 0, ["sm_90a"], True),
        (6, 1, ["sm_75", "sm_120"], False),
    ],
)
def test_binary_code_runs_on_its_major_version_and_ptx_on_later_ones(
    monkeypatch: pytest.MonkeyPatch, major: int, minor: int, architectures: list[str], runs: bool
) -> None:
    fake_gpus(monkeypatch, "a GPU", capability=f"{major}.{minor}")
    assert gpu_probe._covers(architectures, torch.cuda.get_device_properties(0)) is runs


def test_a_probe_without_an_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("probe", 120)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "do not answer within 120 s" in refusal("auto")
