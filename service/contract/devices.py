"""Device classes of jobs and workers, and the Celery queues that route jobs to workers."""

from enum import StrEnum
from typing import Final


class DeviceClass(StrEnum):
    """Class of the device that a worker computes on."""

    CPU = "cpu"
    GPU = "gpu"


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
