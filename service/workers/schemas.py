"""Workers as the API shows them."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.contract.devices import DeviceClass
from service.workers.repository import Occupation

_NO_VERSIONS: Final = ("compute_capability", "device_problem")
"""Keys of a registration's `versions` that are fields of their own in the API."""


class WorkerState(StrEnum):
    """State of a worker."""

    IDLE = "idle"
    BUSY = "busy"
    SILENT = "silent"
    """No heartbeat for the duration of a lease."""
    STOPPED = "stopped"


class WorkerView(BaseModel):
    """A worker process that runs jobs."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "gpu-7:4711",
                "host": "gpu-7",
                "state": "busy",
                "device": "gpu",
                "device_name": "NVIDIA H100 80GB HBM3",
                "device_memory_bytes": 85017755648,
                "compute_capability": "9.0",
                "device_problem": None,
                "host_memory_bytes": 137438953472,
                "used_memory_bytes": 6442450944,
                "free_disk_bytes": 912680550400,
                "job_id": "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11",
                "attempt": 1,
                "versions": {"dsnot": "0.1.0", "torch": "2.13.0", "cuda": "13.0", "driver": "580.65.06"},
                "started_at": "2026-01-31T08:00:00Z",
                "seen_at": "2026-01-31T12:00:00Z",
            }
        }
    )

    id: str
    host: str
    state: WorkerState
    device: DeviceClass
    device_name: str
    device_memory_bytes: int | None = Field(description="null on a CPU")
    compute_capability: str | None = Field(description="such as `9.0`, on AMD's GPUs `gfx942`; null on a CPU")
    device_problem: str | None = Field(description="why a worker on a host with GPUs uses its CPU; null if there is no problem")
    host_memory_bytes: int
    used_memory_bytes: int = Field(description="resident memory of all its processes")
    free_disk_bytes: int = Field(description="on the disk of scratch files and caches")
    job_id: UUID | None = Field(description="the current job, if it belongs to the caller's tenant")
    attempt: int | None
    versions: dict[str, Any] = Field(description="packages; on a GPU also `driver`, and `cuda` or `hip` of torch")
    started_at: datetime
    seen_at: datetime = Field(description="last heartbeat, by the database's clock")

    @classmethod
    def of(cls, found: Occupation, *, tenant: str) -> Self:
        """Return the view of a worker; its job is shown only to the job's tenant."""
        worker = found.worker
        is_ours = found.tenant == tenant
        return cls(
            id=worker.id,
            host=worker.host,
            state=state_of(found),
            device=DeviceClass(worker.device),
            device_name=worker.device_name,
            device_memory_bytes=worker.device_memory_bytes,
            host_memory_bytes=worker.host_memory_bytes,
            used_memory_bytes=worker.used_memory_bytes,
            free_disk_bytes=worker.free_disk_bytes,
            job_id=found.job_id if is_ours else None,
            attempt=found.attempt if is_ours else None,
            compute_capability=worker.versions.get("compute_capability"),
            device_problem=worker.versions.get("device_problem"),
            versions={name: value for name, value in worker.versions.items() if name not in _NO_VERSIONS},
            started_at=worker.started_at,
            seen_at=worker.seen_at,
        )


def state_of(found: Occupation) -> WorkerState:
    """Return the state of a worker, derived from its heartbeats and its open attempt."""
    if found.worker.stopped_at is not None:
        return WorkerState.STOPPED
    if not found.is_alive:
        return WorkerState.SILENT
    return WorkerState.IDLE if found.job_id is None else WorkerState.BUSY


class WorkerPage(BaseModel):
    """All workers, by host."""

    items: list[WorkerView]
    next_cursor: None = None
