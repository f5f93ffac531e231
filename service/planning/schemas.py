"""API schemas of plans."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.devices import DeviceClass, DeviceInfo
from service.contract.serving_memory import ServingMemory
from service.contract.spec import JobSpec
from service.models.schemas import InspectionView
from service.planning.capacity import Memory
from service.planning.estimates import AFTER_BLOCKS
from service.planning.memory import Phase
from service.planning.operations import Estimate, Plan


class QueueView(BaseModel):
    """Queue and workers that the job would meet."""

    position: int = Field(description="position in the queue; 1 is claimed next")
    queued_jobs: int = Field(description="queued jobs of the tenant, without this one")
    max_queued_jobs: int = Field(description="the tenant's quota of queued jobs")
    able_workers: int = Field(description="workers online that may run the job")
    idle_workers: int = Field(description="those of them without a job")


class MemoryView(BaseModel):
    """Estimated peak memory on one device class; a job's metrics have the measured values (`peak_memory_bytes`)."""

    device: DeviceClass
    host_bytes: int = Field(description="peak of the worker's process; in metrics `host_total`")
    device_bytes: int | None = Field(
        description="peak on the GPU, null on a CPU; without the terms `context` and `fragmentation` in metrics `device`"
    )
    least_host_bytes: int = Field(description="minimum, with the smallest batch and activations in files")
    least_device_bytes: int | None = Field(description="minimum, with the smallest batch")
    phase: Phase = Field(description="phase of the peak in the memory used for computing")
    terms: dict[str, int] = Field(description="parts of that peak in bytes")

    @classmethod
    def of(cls, found: Memory) -> Self:
        """Return the view of an estimate."""
        most, least = found.most, found.least
        return cls(
            device=found.device,
            host_bytes=most.host.bytes,
            device_bytes=most.device.bytes if most.device else None,
            least_host_bytes=least.host.bytes,
            least_device_bytes=least.device.bytes if least.device else None,
            phase=most.computing.phase,
            terms=dict(most.computing.terms),
        )


class BasisView(BaseModel):
    """Data behind an estimate."""

    jobs: int = Field(description="past jobs used: the newest of each kind that succeeded at their first attempt; 0: none")
    same_recipe: bool | None = Field(description="whether they have a recipe of this kind; null without any")
    devices: list[str] = Field(description="devices of the workers online that may run the job")


class EstimateView(BaseModel):
    """Estimated run time and wait; null where no past job is of about this size."""

    run_seconds: float | None = Field(description="seconds from the claim to the end")
    run_seconds_low: float | None = Field(description="lower end of its range")
    run_seconds_high: float | None = Field(description="upper end of its range")
    note: str | None = Field(description="why `run_seconds` is null", examples=[AFTER_BLOCKS])
    starts_in_seconds: float | None = Field(description="seconds until a worker claims the job")
    basis: BasisView

    @classmethod
    def of(cls, found: Estimate) -> Self:
        """Return the view of an estimate."""
        rates = found.rates
        value, low, high = found.run or (None, None, None)
        return cls(
            run_seconds=_rounded(value),
            run_seconds_low=_rounded(low),
            run_seconds_high=_rounded(high),
            note=found.note,
            starts_in_seconds=_rounded(found.starts_in_seconds),
            basis=BasisView(
                jobs=rates.jobs,
                same_recipe=rates.is_same_recipe if rates.jobs else None,
                devices=list(found.device_names),
            ),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


class PlanView(BaseModel):
    """Dry run of a job: the resources that it would need. Nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "spec": JobSpec.model_validate({"model": {"id": "org/model", "revision": "0" * 40}}).model_dump(mode="json"),
                "model": None,
                "artifact_bytes": 16060522496,
                "disk_bytes": 46079687000,
                "serving": {"dense": 16060522496, "packed": 10006560768, "packed_int8": 6516899840},
                "calibration_tokens": 262144,
                "memory": [
                    {
                        "device": "gpu",
                        "host_bytes": 6442450944,
                        "device_bytes": 4686313882,
                        "least_host_bytes": 1610612736,
                        "least_device_bytes": 4477542400,
                        "phase": "pruning",
                        "terms": {
                            "block": 436224000,
                            "batch": 379584512,
                            "results": 218103808,
                            "statistics": 136314880,
                            "work": 2113929216,
                            "context": 1073741824,
                            "fragmentation": 328415642,
                        },
                    }
                ],
                "estimate": {
                    "run_seconds": 1260.0,
                    "run_seconds_low": 1080.0,
                    "run_seconds_high": 1470.0,
                    "note": None,
                    "starts_in_seconds": 0.0,
                    "basis": {"jobs": 4, "same_recipe": True, "devices": ["NVIDIA H100 80GB HBM3"]},
                },
                "devices": [
                    {
                        "name": "NVIDIA H100 80GB HBM3",
                        "memory_bytes": 85017755648,
                        "compute_capability": "9.0",
                        "versions": {"cuda": "13.0", "driver": "580.65.06"},
                    }
                ],
                "queue": {"position": 1, "queued_jobs": 0, "max_queued_jobs": 1000, "able_workers": 2, "idle_workers": 1},
                "warnings": ["The model cannot be inspected now (the model hub cannot be reached now; try again shortly)."],
            }
        }
    )

    spec: dict[str, Any] = Field(description="the body with all defaults filled in and the revision pinned")
    model: InspectionView | None = Field(description="null if the service cannot read the model, or not at the moment")
    artifact_bytes: int | None = Field(description="size of the pruned checkpoint's weights")
    disk_bytes: int | None = Field(description="maximum use of the worker's disk")
    serving: ServingMemory | None = Field(description="memory of the pruned model's weights in use; null if `model` is null")
    memory: list[MemoryView] = Field(
        description="one per eligible device class: those online, or all if there are none; empty if `model` is null"
    )
    estimate: EstimateView
    calibration_tokens: int
    devices: list[DeviceInfo] = Field(description="devices of the workers online that may run the job")
    queue: QueueView
    warnings: list[str] = Field(description="points to consider before creating the job")

    @classmethod
    def of(cls, found: Plan) -> Self:
        """Return the view of a plan."""
        return cls(
            spec=found.spec.stored(),
            model=None if found.model is None else InspectionView.of(found.model),
            artifact_bytes=found.artifact_bytes,
            disk_bytes=found.disk_bytes,
            serving=found.serving,
            memory=[MemoryView.of(each) for each in found.memory],
            estimate=EstimateView.of(found.estimate),
            calibration_tokens=found.calibration_tokens,
            devices=list(found.devices),
            queue=QueueView(
                position=found.queue_position,
                queued_jobs=found.queued_jobs,
                max_queued_jobs=found.max_queued_jobs,
                able_workers=found.able_workers,
                idle_workers=found.idle_workers,
            ),
            warnings=found.warnings,
        )
