"""API schemas of comparisons."""

from collections.abc import Sequence
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.comparisons.differences import Difference
from service.comparisons.measures import Measure
from service.comparisons.operations import Comparison
from service.contract.formats import WeightSizes
from service.contract.matrices import BlockView
from service.contract.readings import Better, Interval, Number
from service.contract.states import JobState
from service.database.tables.jobs import Job

_A: Final = "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"
_B: Final = "5f0c3a52-9d7e-4f0b-8a55-5d8f7c1b2e90"


class ComparedJobView(BaseModel):
    """Summary of a job in a comparison."""

    id: UUID
    state: JobState
    model: str
    revision: str | None
    labels: dict[str, str]
    recipe: dict[str, Any] = Field(description="recipe with all defaults filled in")
    metrics: dict[str, Any] | None = Field(description="metrics measured so far, as in `GET /v1/jobs/{id}/metrics`")
    sparsity: float | None = Field(description="sparsity reached over the pruned matrices, 0 to 1")
    bytes: int | None = Field(description="size of the artifact")
    weight_bytes: WeightSizes | None = Field(description="size of the weights in each format")
    seconds: float | None = Field(description="run time of all stages")
    blocks: list[BlockView] = Field(description="blocks pruned so far, in model order")

    @classmethod
    def of(cls, job: Job, blocks: Sequence[BlockView]) -> Self:
        """Return the summary of a job and its blocks."""
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
            blocks=list(blocks),
        )


class DifferenceView(BaseModel):
    """A field in which the specs differ."""

    pointer: str = Field(description="JSON pointer into the job's spec", examples=["/recipe/pattern/sparsity"])
    values: list[Any] = Field(description="values in the order of `jobs`; null: missing or null", examples=[[0.5, 0.6]])

    @classmethod
    def of(cls, difference: Difference) -> Self:
        """Return the view of a difference."""
        return cls(pointer=difference.pointer, values=list(difference.values))


class MeasureView(BaseModel):
    """The values of one quantity for all jobs. Measurements under other conditions are another quantity."""

    name: str = Field(examples=["perplexity"])
    model: str | None = Field(description="`dense` or `pruned`; null: the job as a whole", examples=["pruned"])
    on: str | None = Field(description="data set or task", examples=["wiki-sample:test"])
    conditions: dict[str, int | float] = Field(examples=[{"sequence_length": 2048, "windows": 20}])
    better: Better | None = Field(description="direction of improvement; null if there is none")
    values: list[Number | None] = Field(description="values in the order of `jobs`; null: not measured")
    intervals: list[Interval | None] = Field(
        description="95 % intervals in the order of `jobs`, of a throughput the lowest and the highest measurement; null: none"
    )
    best: list[UUID] = Field(description="the job that is better than every other beyond their uncertainty; empty without one")
    tied: list[UUID] = Field(description="jobs of which one is the best, but the measurements do not say which; else empty")

    @classmethod
    def of(cls, measure: Measure, ids: list[UUID]) -> Self:
        """Return the view of a measure; `ids` are those of the jobs, in order."""
        quantity = measure.quantity
        return cls(
            name=quantity.name,
            model=quantity.model,
            on=quantity.on,
            conditions=dict(quantity.conditions),
            better=quantity.better,
            values=list(measure.values),
            intervals=[each and each.interval for each in measure.readings],
            best=[] if measure.best is None else [ids[measure.best]],
            tied=[ids[place] for place in measure.tied],
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
            "intervals": [[24.4, 26.5], [51.2, 56.6]],
            "best": [_A],
            "tied": [],
        },
        {
            "name": "sparsity",
            "model": None,
            "on": None,
            "conditions": {},
            "better": None,
            "values": [0.5, 0.6],
            "intervals": [None, None],
            "best": [],
            "tied": [],
        },
    ],
    "warnings": [],
}


class ComparisonView(BaseModel):
    """Comparison of jobs, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    jobs: list[ComparedJobView]
    differences: list[DifferenceView] = Field(description="fields in which the specs differ, with all defaults filled in")
    measures: list[MeasureView]
    warnings: list[str] = Field(description="caveats on the comparability of the measurements")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """Return the view of a comparison."""
        ids = [job.id for job in found.jobs]
        return cls(
            jobs=[ComparedJobView.of(job, blocks) for job, blocks in zip(found.jobs, found.blocks, strict=True)],
            differences=[DifferenceView.of(each) for each in found.differences],
            measures=[MeasureView.of(each, ids) for each in found.measures],
            warnings=list(found.warnings),
        )
