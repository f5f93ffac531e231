"""Plans as the API shows them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract import JobSpec
from service.models.schemas import InspectionView
from service.plans.operations import Plan


class QueueView(BaseModel):
    """Where the job would wait."""

    position: int = Field(description="1: the next one to be claimed")
    queued_jobs: int = Field(description="of the tenant, without this one")
    able_workers: int = Field(description="that are online and may take it")
    idle_workers: int = Field(description="of these, without a job")


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
                "queue": {"position": 1, "queued_jobs": 0, "able_workers": 2, "idle_workers": 1},
                "warnings": ["Nothing is known of the model now (the model hub cannot be reached now; try again shortly)."],
            }
        }
    )

    spec: dict[str, Any] = Field(description="the body with every default filled in and the revision pinned")
    model: InspectionView | None = Field(description="null where the model cannot be seen from here, or not now")
    artifact_bytes: int | None = Field(description="of the pruned checkpoint's weights")
    disk_bytes: int | None = Field(description="on the worker's disk at the most")
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
            calibration_tokens=found.calibration_tokens,
            queue=QueueView(
                position=found.queue_position,
                queued_jobs=found.queued_jobs,
                able_workers=found.able_workers,
                idle_workers=found.idle_workers,
            ),
            warnings=found.warnings,
        )
