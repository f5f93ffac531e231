"""Devices of workers, their classes, and the Celery queues that route jobs to workers."""

from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, Field


class DeviceClass(StrEnum):
    """Class of the device that a worker computes on."""

    CPU = "cpu"
    GPU = "gpu"


_VERSIONS: Final = {"cuda": "CUDA", "hip": "ROCm", "driver": "driver"}


class DeviceInfo(BaseModel):
    """Device of a worker, with the versions that decide what runs on it."""

    name: str
    memory_bytes: int | None = Field(description="null on a CPU")
    compute_capability: str | None = Field(None, description="such as `9.0`, on AMD's GPUs `gfx942`; null on a CPU")
    versions: dict[str, Any] = Field({}, description="`driver`, and `cuda` or `hip`, for which torch was built")

    def __str__(self) -> str:
        """Return name, memory, compute capability and versions."""
        memory = [f"{self.memory_bytes / 2**30:.1f} GiB"] if self.memory_bytes else []
        capability = [f"compute capability {self.compute_capability}"] if self.compute_capability else []
        versions = [f"{name} {self.versions[key]}" for key, name in _VERSIONS.items() if key in self.versions]
        facts = ", ".join(memory + capability + versions)
        return f"{self.name} ({facts})" if facts else self.name

    @classmethod
    def of(cls, name: str, memory_bytes: int | None, facts: dict[str, Any]) -> "DeviceInfo":
        """Return the device of a registration, which stores its facts with the versions of packages."""
        versions = {key: facts[key] for key in _VERSIONS if key in facts}
        return cls(name=name, memory_bytes=memory_bytes, compute_capability=facts.get("compute_capability"), versions=versions)


ANY_DEVICE: Final = "any"
"""The `device` of a job that may run on either class."""

QUEUE: Final = "dsnot"
"""The Celery queue that every worker reads."""

QUEUES: Final = {ANY_DEVICE: QUEUE, **{device: f"{QUEUE}.{device}" for device in map(str, DeviceClass)}}
"""Queue of a job's message, by the job's `device`. A worker reads the first one and that of its own class."""


def queues_of(device: DeviceClass) -> tuple[str, str]:
    """Return the queues that a worker reads."""
    return QUEUE, QUEUES[device]


def devices_served_by(device: DeviceClass) -> tuple[str, str]:
    """Return the values of `device` of the jobs that a worker may take."""
    return ANY_DEVICE, str(device)
