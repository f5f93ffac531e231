"""Compute devices of this host: `python -m worker.devices` prints GPUs as JSON, so that other processes need not import torch."""

import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from service.contract.devices import DeviceClass


@dataclass(frozen=True)
class Device:
    """A compute device; `name` is torch's name for it, as in DSNOT_DEVICE."""

    name: str
    description: str
    memory_bytes: int | None
    """None on a CPU, whose memory is the host's."""


class NoSuchDevice(Exception):
    """A DSNOT_DEVICE that this host does not have, or torch cannot use."""


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
    gpus = probe()
    if device == "auto" and not gpus:
        return DeviceClass.CPU, _cpu()
    wanted = {"auto": "cuda:0", "cuda": "cuda:0"}.get(device, device)
    for gpu in gpus:
        if gpu.name == wanted:
            return DeviceClass.GPU, gpu
    known = ", ".join(["cpu", *(gpu.name for gpu in gpus)])
    raise NoSuchDevice(f"DSNOT_DEVICE is {device}, which torch does not find on this host; set one of {known}")


def probe() -> list[Device]:
    """Return the GPUs that torch can use on this host.

    Raises:
        NoSuchDevice: torch fails.
    """
    done = subprocess.run([sys.executable, "-m", "worker.devices"], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise NoSuchDevice(f"torch fails on this host: {done.stderr.strip().splitlines()[-1:]}")
    return [Device(**fields) for fields in json.loads(done.stdout)]


def _cpu() -> Device:
    return Device("cpu", processor_name(), None)


def processor_name() -> str:
    """Return the model name of the host's processor, or the machine type if that is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> list[Device]:
    import torch

    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [Device(f"cuda:{index}", gpu.name, gpu.total_memory) for index, gpu in enumerate(found)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps([asdict(device) for device in _gpus()]))
