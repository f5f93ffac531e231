"""What a job may run on, what a worker has, and the queues by which the two find each other."""

from enum import StrEnum
from typing import Final


class DeviceClass(StrEnum):
    """What a worker computes on."""

    CPU = "cpu"
    GPU = "gpu"


ANY_DEVICE: Final = "any"
"""What a job says that may run on either."""

QUEUE: Final = "dsnot"
"""The Celery queue that every worker reads."""

QUEUES: Final = {ANY_DEVICE: QUEUE, **{device: f"{QUEUE}.{device}" for device in map(str, DeviceClass)}}
"""The queue in which the message of a job waits, by what the job wants. A worker reads the first and that of its own class."""


def queues_of(device: DeviceClass) -> tuple[str, str]:
    """The queues a worker reads."""
    return QUEUE, QUEUES[device]


def wants_served_by(device: DeviceClass) -> tuple[str, str]:
    """What the jobs say that a worker may take."""
    return ANY_DEVICE, str(device)
