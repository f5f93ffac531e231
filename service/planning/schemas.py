"""Plans as the API shows them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract import DeviceClass, JobSpec
from service.models.schemas import InspectionView
from service.planning.capacity import Memory
from service.planning.memory import Phase
from service.planning.operations import Estimate, Plan


class QueueView(BaseModel):
    """Where the job would wait."""

    position: int = Field(description="1: the next one to be claimed")
    queued_jobs: int = Field(description="of the tenant, without this one")
    max_queued_jobs: int = Field(description="that the tenant may have")
    able_workers: int = Field(description="that are online and may take it")
    idle_workers: int = Field(description="of these, without a job")


class MemoryView(BaseModel):
    """What a worker of one class of device needs, predicted; a job's metrics tell what was used (`peak_memory_bytes`)."""

    device: DeviceClass
    host_bytes: int = Field(description="of the worker's process at its peak; metrics: `host_total`")
    device_bytes: int | None = Field(description="on the GPU at the peak, null on a CPU; metrics: `device`")
    least_host_bytes: int = Field(description="with the smallest batch, and activations in files")
    least_device_bytes: int | None = Field(description="with the smallest batch")
    phase: Phase = Field(description="in which what is computed takes most")
    terms: dict[str, int] = Field(description="bytes, by what they are for, that make up that peak")

    @classmethod
    def of(cls, found: Memory) -> Self:
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
    """What an estimate is told from."""

    jobs: int = Field(description="that succeeded at their first attempt on such devices, the newest of each kind; 0: none")
    same_recipe: bool | None = Field(description="whether they have a recipe of this kind; null without any")
    devices: list[str] = Field(description="of the workers online that may take the job")


class EstimateView(BaseModel):
    """Seconds, null where nothing is known to tell them from."""

    run_seconds: float | None = Field(description="from the claim to the end")
    starts_in_seconds: float | None = Field(description="until a worker takes the job up")
    basis: BasisView

    @classmethod
    def of(cls, found: Estimate) -> Self:
        rates = found.rates
        return cls(
            run_seconds=_rounded(found.run_seconds),
            starts_in_seconds=_rounded(found.starts_in_seconds),
            basis=BasisView(
                jobs=rates.jobs if rates else 0,
                same_recipe=rates.is_same_recipe if rates else None,
                devices=list(found.device_names),
            ),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


class PlanView(BaseModel):
    """What a job would be. Nothing has been stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "spec": JobSpec.model_validate({"model": {"id": "org/model", "revision": "0" * 40}}).model_dump(mode="json"),
                "model": None,
                "artifact_bytes": 16060522496,
                "disk_bytes": 46079687000,
                "calibration_tokens": 262144,
                "memory": [
                    {
                        "device": "gpu",
                        "host_bytes": 6442450944,
                        "device_bytes": 3284156416,
                        "least_host_bytes": 1610612736,
                        "least_device_bytes": 3094364160,
                        "phase": "pruning",
                        "terms": {
                            "block": 436224000,
                            "batch": 379584512,
                            "results": 218103808,
                            "statistics": 136314880,
                            "work": 2113929216,
                        },
                    }
                ],
                "estimate": {
                    "run_seconds": 1260.0,
                    "starts_in_seconds": 0.0,
                    "basis": {"jobs": 4, "same_recipe": True, "devices": ["NVIDIA H100 80GB HBM3"]},
                },
                "queue": {"position": 1, "queued_jobs": 0, "max_queued_jobs": 1000, "able_workers": 2, "idle_workers": 1},
                "warnings": ["Nothing is known of the model now (the model hub cannot be reached now; try again shortly)."],
            }
        }
    )

    spec: dict[str, Any] = Field(description="the body with every default filled in and the revision pinned")
    model: InspectionView | None = Field(description="null where the model cannot be seen from here, or not now")
    artifact_bytes: int | None = Field(description="of the pruned checkpoint's weights")
    disk_bytes: int | None = Field(description="on the worker's disk at the most")
    memory: list[MemoryView] = Field(
        description="for each class of device that may take the job and is online, or could be; empty where the model is not seen"
    )
    estimate: EstimateView
    calibration_tokens: int
    queue: QueueView
    warnings: list[str] = Field(description="what to know before the job is asked for")

    @classmethod
    def of(cls, found: Plan) -> Self:
        return cls(
            spec=found.spec.model_dump(mode="json"),
            model=None if found.model is None else InspectionView.of(found.model),
            artifact_bytes=found.artifact_bytes,
            disk_bytes=found.disk_bytes,
            memory=[MemoryView.of(each) for each in found.memory],
            estimate=EstimateView.of(found.estimate),
            calibration_tokens=found.calibration_tokens,
            queue=QueueView(
                position=found.queue_position,
                queued_jobs=found.queued_jobs,
                max_queued_jobs=found.max_queued_jobs,
                able_workers=found.able_workers,
                idle_workers=found.idle_workers,
            ),
            warnings=found.warnings,
        )
