"""The call that lays jobs side by side."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from service.client.answers import Answer
from service.client.call import Call, as_one, path_to
from service.client.measured import Metrics
from service.contract import JobState, WeightSizes


class Block(Answer):
    """What pruning did to the matrices of one block. Errors are relative, and means over the matrices."""

    block: int
    matrices: int
    sparsity: float
    error_start: float
    error_mask: float | None = None
    error: float
    swaps: int


class ComparedJob(Answer):
    id: str
    state: JobState
    model: str
    revision: str | None = None
    labels: dict[str, str] = Field(default={})
    recipe: dict[str, Any]
    metrics: Metrics | None = None
    sparsity: float | None = None
    bytes: int | None = None
    weight_bytes: WeightSizes | None = None
    seconds: float | None = None
    blocks: list[Block] = Field(default=[])


class Difference(Answer):
    """A place where the specs differ, and what each job has there; None: nothing, or null."""

    pointer: str
    values: list[Any]


class Measure(Answer):
    """One quantity of all jobs."""

    name: str
    model: str | None = None
    """`dense` or `pruned`; None: of the job as a whole."""
    on: str | None = None
    """The data set or the task."""
    conditions: dict[str, float] = Field(default={})
    """How it was measured; what was measured otherwise is another quantity."""
    better: str | None = None
    """`lower`, `higher`, or None where no value is better than another."""
    values: list[float | int | None]
    best: list[str] = Field(default=[])
    """The ids of the jobs that do best, where two or more can be compared."""


class Comparison(Answer):
    """What has a value for each job has them in the order of `jobs`."""

    jobs: list[ComparedJob]
    differences: list[Difference]
    measures: list[Measure]
    warnings: list[str] = Field(default=[])


def compare_jobs(job_ids: Sequence[str]) -> Call[Comparison]:
    """Two to six jobs side by side: in what they were asked for differently, what was measured, which does best."""
    return Call("GET", path_to("jobs", "compare"), as_one(Comparison.model_validate), query={"ids": list(job_ids)})
