"""Compute device of a worker."""

import json
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from service.contract.devices import DeviceClass
from worker.gpu_probe import Device, Found

LOST_SIGNAL: Final = signal.SIGRTMIN
"""Signal with which a worker's child reports to its parent that the device is lost."""
_PROBE_SECONDS: Final = 120


class NoSuchDevice(Exception):
    """A DSNOT_DEVICE that this host does not have, or torch cannot use."""


class DeviceLost(Exception):
    """Failure of the device, after which no process should use it before it was tried again."""


def device_class(device: str) -> DeviceClass:
    """Return the class of a device as in DSNOT_DEVICE; imports torch only if the name does not decide it."""
    if device == "cpu":
        return DeviceClass.CPU
    if device.startswith("cuda"):
        return DeviceClass.GPU
    import torch

    return DeviceClass.GPU if torch.cuda.is_available() else DeviceClass.CPU


def chosen(device: str) -> tuple[DeviceClass, Device]:
    """Return the device that a worker with this DSNOT_DEVICE computes on, probed in another process.

    Raises:
        NoSuchDevice: this host has no such device.
    """
    if device == "cpu":
        return DeviceClass.CPU, _cpu()
    found = _probe(device)
    if found.gpus:
        return DeviceClass.GPU, found.gpus[0]
    if device == "auto":
        return DeviceClass.CPU, _cpu(found.problem)
    raise NoSuchDevice(f"DSNOT_DEVICE is {device}, but {found.problem}")


def _probe(device: str) -> Found:
    command = [sys.executable, "-m", "worker.gpu_probe", device, "1"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NoSuchDevice(
            f"the GPUs do not answer within {_PROBE_SECONDS} s; check nvidia-smi, or set DSNOT_DEVICE to cpu"
        ) from error
    if done.returncode != 0:
        last = " ".join(done.stderr.strip().splitlines()[-1:]) or f"status {done.returncode}"
        raise NoSuchDevice(f"torch fails on this host: {last}")
    found = json.loads(done.stdout)
    return Found([Device(**gpu) for gpu in found["gpus"]], found["problem"])


def _cpu(problem: str | None = None) -> Device:
    return Device("cpu", processor_name(), None, problem=problem)


def processor_name() -> str:
    """Return the model name of the host's processor, or the machine type if that is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
