"""Smallest memory in which a job can run, stored with it, and the workers that have it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

from service.contract.devices import DeviceClass
from service.database.tables.jobs import Job
from service.database.tables.workers import Worker
from service.kit.quantities import gib


@dataclass(frozen=True)
class LeastMemory:
    """Bytes that a job needs at least; None where unknown. A worker that lacks them does not claim it."""

    least_cpu_bytes: int | None = None
    """Of the host, on a worker without a GPU."""
    least_host_bytes: int | None = None
    """Of the host, on a worker with a GPU."""
    least_device_bytes: int | None = None
    """Of the GPU."""

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return what is stored with a job."""
        return cls(job.least_cpu_bytes, job.least_host_bytes, job.least_device_bytes)

    @property
    def columns(self) -> dict[str, int | None]:
        """Values of the job's columns."""
        return asdict(self)

    def fits(self, worker: Worker) -> bool:
        """Return whether the worker has the memory, as its claims decide it (`service.jobs.attempts.turns`)."""
        return all(_is_within(needed, has) for needed, has, _ in self._on(worker))

    def too_little(self, workers: Sequence[Worker]) -> str:
        """Return the sentence that none of these workers has the memory."""
        largest = max(workers, key=lambda each: (each.device_memory_bytes or 0, each.host_memory_bytes))
        parts = [(needed, has, of) for needed, has, of in self._on(largest) if needed is not None and has is not None]
        needs = " and ".join(f"{gib(needed)} of the {of}'s memory" for needed, _, of in parts)
        has_text = " and ".join(gib(has) for _, has, _ in parts)
        return (
            f"no worker online has the memory for it: it needs at least {needs}, and the largest has {has_text}; start a larger "
            "worker, or cancel the job"
        )

    def _on(self, worker: Worker) -> list[tuple[int | None, int | None, str]]:
        if worker.device == DeviceClass.CPU:
            return [(self.least_cpu_bytes, worker.host_memory_bytes, "host")]
        return [
            (self.least_device_bytes, worker.device_memory_bytes, "device"),
            (self.least_host_bytes, worker.host_memory_bytes, "host"),
        ]


UNKNOWN: Final = LeastMemory()


def _is_within(needed: int | None, has: int | None) -> bool:
    return needed is None or has is None or needed <= has
