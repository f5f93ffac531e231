"""A torch that reports GPUs: the answers of `torch.cuda` are faked, and that of the small product on each of them."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from worker import gpu_probe

ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_90a", "sm_90", "sm_100", "sm_120"]
DRIVER = "580.65.06"


def fake_gpus(
    patch: pytest.MonkeyPatch,
    *names: str,
    capability: str = "9.0",
    broken: Mapping[int, Exception] | None = None,
    init: Exception | None = None,
    hip: str | None = None,
) -> None:
    """Make torch report these GPUs; those in `broken` raise at their first product, and `init` is what CUDA's start raises."""
    major, minor = map(int, capability.split("."))
    found = [
        SimpleNamespace(name=name, total_memory=2**34, major=major, minor=minor, gcnArchName="gfx942:sramecc+") for name in names
    ]

    def start() -> None:
        if init is not None:
            raise init

    def product(index: int) -> float:
        if broken and index in broken:
            raise broken[index]
        return 16.0**3

    patch.setattr(torch.version, "cuda", None if hip else "13.0")
    patch.setattr(torch.version, "hip", hip)
    patch.setattr(torch.cuda, "init", start)
    patch.setattr(torch.cuda, "device_count", lambda: len(found))
    patch.setattr(torch.cuda, "get_device_properties", found.__getitem__)
    patch.setattr(torch.cuda, "get_arch_list", lambda: ["gfx942"] if hip else ARCHITECTURES)
    patch.setattr(gpu_probe, "_product", product)
    patch.setattr(gpu_probe, "_driver_version", lambda: DRIVER)


def probe_in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Answer the probe's command in this process, where torch is faked."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        device, *most = command[command.index("worker.gpu_probe") + 1 :]
        return subprocess.CompletedProcess(command, 0, json.dumps(asdict(gpu_probe.find(device, *map(int, most)))), "")

    patch.setattr(subprocess, "run", run)
