"""What this host computes on: `python -m worker.devices` tells it as JSON, so that nobody else has to import torch for that."""

import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from service.contract import DeviceClass


@dataclass(frozen=True)
class Device:
    """A device that a worker may be given: `name` is what torch calls it, as in DSNOT_DEVICE."""

    name: str
    description: str
    memory_bytes: int | None
    """None on a CPU, whose memory is the host's."""


class NoSuchDevice(Exception):
    """DSNOT_DEVICE names what this host does not have, or torch cannot use."""


def device_class(device: str) -> DeviceClass:
    """Of a setting as in DSNOT_DEVICE; imports torch unless the answer is plain."""
    if device == "cpu":
        return DeviceClass.CPU
    if device.startswith("cuda"):
        return DeviceClass.GPU
    import torch

    return DeviceClass.GPU if torch.cuda.is_available() else DeviceClass.CPU


def chosen(device: str) -> tuple[DeviceClass, Device]:
    """The device that a worker with this DSNOT_DEVICE computes on, found out in another process.

    Raises:
        NoSuchDevice: there is no such device here.
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
    raise NoSuchDevice(f"DSNOT_DEVICE is {device}, which torch does not find on this host; it has {known}")


def probe() -> list[Device]:
    """The GPUs that torch can use here."""
    done = subprocess.run([sys.executable, "-m", "worker.devices"], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise NoSuchDevice(f"torch does not start on this host: {done.stderr.strip().splitlines()[-1:]}")
    return [Device(**fields) for fields in json.loads(done.stdout)]


def _cpu() -> Device:
    return Device("cpu", processor_name(), None)


def processor_name() -> str:
    """What the host's processor calls itself."""
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
