"""Comparisons as the API shows them."""

from collections.abc import Sequence
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.comparisons.differences import Difference
from service.comparisons.measures import Better, Measure, Number
from service.comparisons.operations import Comparison
from service.comparisons.repository import BlockMeasures
from service.contract import JobState, WeightSizes
from service.database.tables.jobs import Job

_A: Final = "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"
_B: Final = "5f0c3a52-9d7e-4f0b-8a55-5d8f7c1b2e90"


class BlockView(BaseModel):
    """What pruning did to the matrices of one block. Errors are relative, ‖(W − W')X‖² / ‖WX‖², and means over the matrices."""

    model_config = ConfigDict(from_attributes=True)

    block: int
    matrices: int
    sparsity: float = Field(description="zeros / weights")
    error_start: float = Field(description="of the warm start")
    error_mask: float | None = Field(None, description="of the final mask, before kept weights are updated")
    error: float = Field(description="of the result")
    swaps: int


class ComparedJobView(BaseModel):
    """A job, as far as it is of interest beside others."""

    id: UUID
    state: JobState
    model: str
    revision: str | None
    labels: dict[str, str]
    recipe: dict[str, Any] = Field(description="with every default filled in")
    metrics: dict[str, Any] | None = Field(description="what is measured so far, as `GET /v1/jobs/{id}/metrics` tells it")
    sparsity: float | None = Field(description="reached, of the matrices that were pruned")
    bytes: int | None = Field(description="of the artifact")
    weight_bytes: WeightSizes | None = Field(description="of the weights in every form")
    seconds: float | None = Field(description="of all stages together")
    blocks: list[BlockView] = Field(description="as far as they are pruned, in the order of the model")

    @classmethod
    def of(cls, job: Job, blocks: Sequence[BlockMeasures]) -> Self:
        metrics = job.metrics or {}
        seconds = metrics.get("seconds")
        return cls(
            id=job.id,
            state=JobState(job.state),
            model=job.model,
            revision=job.spec["model"].get("revision"),
            labels=job.labels,
            recipe=job.spec["recipe"],
            metrics=job.metrics,
            sparsity=metrics.get("sparsity"),
            bytes=metrics.get("bytes"),
            weight_bytes=metrics.get("weight_bytes"),
            seconds=round(sum(seconds.values()), 3) if seconds else None,
            blocks=[BlockView.model_validate(each) for each in blocks],
        )


class DifferenceView(BaseModel):
    """A place where the specs differ."""

    pointer: str = Field(description="JSON pointer into the job's body", examples=["/recipe/pattern/sparsity"])
    values: list[Any] = Field(description="in the order of `jobs`; null: nothing, or null", examples=[[0.5, 0.6]])

    @classmethod
    def of(cls, difference: Difference) -> Self:
        return cls(pointer=difference.pointer, values=list(difference.values))


class MeasureView(BaseModel):
    """One quantity of all jobs. What was measured under other conditions is another one."""

    name: str = Field(examples=["perplexity"])
    model: str | None = Field(description="`dense` or `pruned`; null: of the job as a whole", examples=["pruned"])
    on: str | None = Field(description="the data set or the task", examples=["wiki-sample:test"])
    conditions: dict[str, int | float] = Field(examples=[{"sequence_length": 2048, "windows": 20}])
    better: Better | None = Field(description="null where no value is better than another")
    values: list[Number | None] = Field(description="in the order of `jobs`; null: not measured")
    best: list[UUID] = Field(description="the jobs that do best, where two or more can be compared")

    @classmethod
    def of(cls, measure: Measure, ids: list[UUID]) -> Self:
        quantity = measure.quantity
        return cls(
            name=quantity.name,
            model=quantity.model,
            on=quantity.on,
            conditions=dict(quantity.conditions),
            better=quantity.better,
            values=list(measure.values),
            best=[ids[place] for place in measure.best],
        )


def _example_job(job_id: str, sparsity: float, perplexity: float) -> dict[str, Any]:
    measured = {"dataset": "wiki-sample:test", "sequence_length": 512, "windows": 20, "tokens": 10_220, "perplexity": perplexity}
    return {
        "id": job_id,
        "state": "succeeded",
        "model": "SmolLM2-135M-Instruct",
        "revision": None,
        "labels": {},
        "recipe": {"preset": "balanced", "pattern": {"type": "unstructured", "sparsity": sparsity}},
        "metrics": {"pruned": {"perplexity": [measured]}, "sparsity": sparsity},
        "sparsity": sparsity,
        "bytes": None,
        "weight_bytes": None,
        "seconds": None,
        "blocks": [
            {
                "block": 0,
                "matrices": 7,
                "sparsity": sparsity,
                "error_start": 0.061,
                "error_mask": 0.052,
                "error": 0.052,
                "swaps": 9,
            }
        ],
    }


_EXAMPLE: Final[dict[str, Any]] = {
    "jobs": [_example_job(_A, 0.5, 25.454), _example_job(_B, 0.6, 53.8)],
    "differences": [{"pointer": "/recipe/pattern/sparsity", "values": [0.5, 0.6]}],
    "measures": [
        {
            "name": "perplexity",
            "model": "pruned",
            "on": "wiki-sample:test",
            "conditions": {"sequence_length": 512, "windows": 20, "tokens": 10_220},
            "better": "lower",
            "values": [25.454, 53.8],
            "best": [_A],
        },
        {"name": "sparsity", "model": None, "on": None, "conditions": {}, "better": None, "values": [0.5, 0.6], "best": []},
    ],
    "warnings": [],
}


class ComparisonView(BaseModel):
    """Jobs side by side, in the order in which they were named."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    jobs: list[ComparedJobView]
    differences: list[DifferenceView] = Field(
        description="of their specs, with every default filled in; nothing that is the same"
    )
    measures: list[MeasureView]
    warnings: list[str] = Field(description="what to know before the figures are believed")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        ids = [job.id for job in found.jobs]
        return cls(
            jobs=[ComparedJobView.of(job, blocks) for job, blocks in zip(found.jobs, found.blocks, strict=True)],
            differences=[DifferenceView.of(each) for each in found.differences],
            measures=[MeasureView.of(each, ids) for each in found.measures],
            warnings=list(found.warnings),
        )
