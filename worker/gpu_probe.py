"""GPUs that torch can compute on, tried in a process of their own: `python -m worker.gpu_probe DEVICE [MOST]` prints JSON.

Other processes need not import torch for it, and a driver that crashes ends only this one. With a ROCm build of torch AMD's GPUs
have the same names, `cuda:N`.
"""

import ctypes
import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

_NAMES: Final = re.compile(r"auto|cuda(?::(0|[1-9]\d*))?")
_DEVICE_FILES: Final = Path("/dev")
_SIDE: Final = 16
"""Rows and columns of the matrix that is multiplied with itself on each GPU."""


@dataclass(frozen=True)
class Device:
    """A compute device; `name` is torch's name for it, as in DSNOT_DEVICE."""

    name: str
    description: str
    memory_bytes: int | None
    """None on a CPU, whose memory is the host's."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of `driver`, and of `cuda` or `hip`, for which torch was built."""
    compute_capability: str | None = None
    """Such as `9.0`, or `gfx942` on AMD's GPUs."""
    problem: str | None = None
    """Reason why a CPU is used on a host with GPUs."""

    def facts(self) -> dict[str, str]:
        """Return what a registration stores with the versions of packages."""
        more = {"compute_capability": self.compute_capability, "device_problem": self.problem}
        return self.versions | {name: value for name, value in more.items() if value}


@dataclass(frozen=True)
class Found:
    """Result of a probe: usable GPUs, and why there are no (further) ones, as a clause with its remedy."""

    gpus: list[Device]
    problem: str | None = None


def find(device: str, most: int | None = None) -> Found:
    """Return the usable GPUs among those that DSNOT_DEVICE selects, at most `most`.

    With `auto` a host without NVIDIA devices, or that hides them, is no problem.
    """
    named = _NAMES.fullmatch(device)
    if not named:
        return Found([], _unsupported(device))
    if problem := _torch_problem():
        return Found([], None if device == "auto" and not _has_nvidia() else problem)
    import torch

    count = torch.cuda.device_count()
    if named[1] is None:
        return _tried(range(count), most)
    index = int(named[1])
    return _tried([index], most) if index < count else Found([], _invisible(count))


def _unsupported(device: str) -> str:
    kind = device.partition(":")[0].partition("-")[0]
    if kind in ("GPU", "MIG"):
        return "GPUs are numbered; name it in CUDA_VISIBLE_DEVICES and set DSNOT_DEVICE to cuda:0"
    return "only CPUs, NVIDIA's and AMD's GPUs are supported; set it to cpu, cuda:0, cuda:1, … or auto"


def _torch_problem() -> str | None:
    """Return why torch can use no GPU at all."""
    import torch

    if not (torch.version.cuda or torch.version.hip):
        return "this build of torch is for CPUs only; install one for CUDA or ROCm"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:
        return _init_problem(str(error))
    return None


def _init_problem(message: str) -> str:
    """Return the reason in our words; the message is that of cudaGetDeviceCount or of torch."""
    import torch

    if re.search(r"too old|forward compatibility|driver combination", message):
        driver = " ".join(("the NVIDIA driver", *filter(None, [_driver_version()])))
        return f"{driver} is too old for CUDA {torch.version.cuda} of this torch; update it or install a torch for an older CUDA"
    if "no NVIDIA driver" in message:
        return "this host or container has no NVIDIA driver; install it, or pass the GPUs to the container"
    if re.search(r"No (CUDA|HIP) GPUs|no (CUDA|ROCm)-capable device", message):
        return f"no GPU is visible{_visibility()}; pass one to this process or container"
    return "the GPU driver does not start; check nvidia-smi and the kernel's log"


def _visibility() -> str:
    """Return the variables that select the visible GPUs, as an addition to a clause."""
    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    set_ones = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return f" with {', '.join(set_ones)}" if set_ones else ""


def _has_nvidia() -> bool:
    """Return whether the host has NVIDIA devices that are not hidden on purpose."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not hidden and any(_DEVICE_FILES.glob("nvidia[0-9]*"))


def _invisible(count: int) -> str:
    seen = ", ".join(f"cuda:{index} ({_properties(index).name})" for index in range(count))
    return f"torch sees only {seen}{_visibility()}; set it to one of these, cpu or auto"


def _tried(indices: Iterable[int], most: int | None) -> Found:
    gpus: list[Device] = []
    problems: list[str] = []
    for index in indices:
        if len(gpus) == most:
            break
        gpu = _device(index)
        if problem := _trial(index, gpu):
            problems.append(f"{gpu.name} ({gpu.description}) {problem}")
        else:
            gpus.append(gpu)
    return Found(gpus, "; ".join(problems) or None)


def _properties(index: int) -> Any:
    import torch

    return torch.cuda.get_device_properties(index)


def _device(index: int) -> Device:
    import torch

    found = _properties(index)
    versions = {"cuda": torch.version.cuda, "hip": torch.version.hip, "driver": _driver_version()}
    capability = found.gcnArchName.partition(":")[0] if torch.version.hip else f"{found.major}.{found.minor}"
    known = {name: version for name, version in versions.items() if version}
    return Device(f"cuda:{index}", found.name, found.total_memory, known, capability)


def _trial(index: int, gpu: Device) -> str | None:
    """Return why the GPU cannot compute a small product, or None if it can."""
    import torch

    try:
        total = _product(index)
    except Exception as error:
        if not torch.version.hip and not _covers(torch.cuda.get_arch_list(), _properties(index)):
            kinds = ", ".join(torch.cuda.get_arch_list())
            return (
                f"has compute capability {gpu.compute_capability}, and this torch has kernels for {kinds} only; install another"
            )
        if re.search("out of memory", str(error)):
            return "has no free memory; end the other processes on it"
        if re.search("busy or unavailable", str(error)):
            return "is in exclusive use by another process; end it or select another GPU"
        return "fails at a small product; check nvidia-smi and the kernel's log for Xid errors"
    return None if total == _SIDE**3 else "computes a small product wrongly; take it out of service"


def _product(index: int) -> float:
    import torch

    ones = torch.ones(_SIDE, _SIDE, device=f"cuda:{index}")
    return float((ones @ ones).sum())


def _covers(architectures: list[str], gpu: Any) -> bool:
    """Return whether binary code of the same major version and no later minor one, or PTX of an earlier one, is among them."""
    capability = gpu.major * 10 + gpu.minor
    for architecture in architectures:
        kind, _, number = architecture.partition("_")
        digits = int(number.rstrip("af"))
        if digits <= capability and (kind == "compute" or digits // 10 == gpu.major):
            return True
    return False


def _driver_version() -> str | None:
    """Return the version of the kernel's driver, NVIDIA's as NVML names it, even if it is too old for torch."""
    import torch

    with suppress(OSError, AttributeError):
        if torch.version.hip:
            return Path("/sys/module/amdgpu/version").read_text().strip()
        nvml, text = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.create_string_buffer(80)
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0:
            return text.value.decode()
    return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(find(sys.argv[1], *map(int, sys.argv[2:])))))
